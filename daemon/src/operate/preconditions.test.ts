import { pino } from 'pino';
import { forwardingPreconditions, PreconditionCheck } from './preconditions.ts';

const [FLANNEL0, ...OTHERS] = ['flannel0', 'eth0', 'cni0'].map((name, i) => ({ name, index: i + 2 }));
const LINKS = { links: [FLANNEL0!, ...OTHERS], own: [FLANNEL0!] };

function setUp(values: Record<string, string>, refuse: readonly string[] = [], links = () => LINKS) {
  const lines: string[] = [];
  const clock = { now: 0 };
  const said: { trouble: string | undefined; note: string | undefined } = { trouble: undefined, note: undefined };
  const write = (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg);
  const order: string[] = [];
  const check = new PreconditionCheck({
    wanted: () => forwardingPreconditions({ ipv4: true, ipv6: false, ...links() }),
    read: (parameter) => {
      const value = values[parameter];
      if (value === undefined) throw Object.assign(new Error('No such file'), { code: 'ENOENT' });
      return value;
    },
    write: (parameter, value) => {
      if (refuse.includes(parameter)) throw Object.assign(new Error('Read-only file system'), { code: 'EROFS' });
      order.push(parameter);
      values[parameter] = value;
    },
    now: () => clock.now,
    report: (trouble) => {
      said.trouble = trouble;
    },
    note: (note) => {
      said.note = note;
    },
    log: pino({ level: 'info' }, { write }),
  });
  return { check, lines, clock, said, order, values };
}

describe('forwardingPreconditions()', () => {
  test('has both families, the whole host before its interfaces', () => {
    const names = forwardingPreconditions({ ipv4: true, ipv6: true, ...LINKS }).map(({ parameter }) => parameter);
    expect(names.indexOf('net/ipv4/ip_forward')).toBeLessThan(names.indexOf('net/ipv4/conf/eth0/forwarding'));
    expect(names.indexOf('net/ipv6/conf/all/forwarding')).toBeLessThan(names.indexOf('net/ipv6/conf/cni0/forwarding'));
    expect(names).toContain('net/ipv4/conf/flannel0/accept_local');
  });

  test('leaves a family alone that the node does not have', () => {
    const names = forwardingPreconditions({ ipv4: false, ipv6: true, ...LINKS }).map(({ parameter }) => parameter);
    expect(names.filter((name) => name.includes('ipv4'))).toEqual([]);
  });
});

describe('PreconditionCheck', () => {
  const ON = { 'net/ipv4/ip_forward': '1', 'net/ipv4/conf/eth0/forwarding': '1' };

  test('sets what is off, and passes over interfaces that do not exist', () => {
    const { check, lines, said, order } = setUp({ ...ON, 'net/ipv4/ip_forward': '0' });
    check.run();
    expect(order).toEqual(['net/ipv4/ip_forward']);
    expect(lines).toEqual(['Set net.ipv4.ip_forward to 1, it was 0']);
    expect([said.trouble, said.note, check.restorations]).toEqual([undefined, undefined, 0]);
  });

  test('of a link that is made anew it says nothing of somebody who set it', () => {
    let links = LINKS;
    const parameter = 'net/ipv4/conf/flannel0/accept_local';
    const { check, lines, values, said } = setUp({ ...ON, [parameter]: '1' }, [], () => links);
    check.run();
    for (let index = 10; index < 15; index++) {
      links = { links: [{ name: 'flannel0', index }, ...OTHERS], own: [{ name: 'flannel0', index }] };
      values[parameter] = '0';
      check.run();
      expect(values[parameter]).toBe('1');
    }
    expect([lines, said.note, check.restorations]).toEqual([[], undefined, 0]);
  });

  test('sets again what somebody turned off later, and says so; that it happens again and again is a note', () => {
    const { check, lines, clock, said, values } = setUp({ ...ON });
    check.run();
    for (let i = 1; i <= 5; i++) {
      clock.now = i * 2000;
      values['net/ipv4/conf/eth0/forwarding'] = '0';
      check.run();
      expect(values['net/ipv4/conf/eth0/forwarding']).toBe('1');
    }
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe('Somebody set net.ipv4.conf.eth0.forwarding to 0, which cuts pods off: set it to 1 again');
    expect(said.note).toContain('another program sets net.ipv4.conf.eth0.forwarding (5 times) again and again');
    expect(check.restorations).toBe(5);
    clock.now = 700_000;
    check.run();
    expect(said.note).toBeUndefined();
  });

  test('is in trouble when a parameter cannot be set, until somebody does', () => {
    const { check, lines, said, values } = setUp({ ...ON, 'net/ipv4/ip_forward': '0' }, ['net/ipv4/ip_forward']);
    check.run();
    expect(lines).toHaveLength(1);
    check.run();
    expect(said.trouble).toBe(
      'Cannot set net.ipv4.ip_forward to 1 (it is 0), without which pods are cut off: set it with "sysctl -w net.ipv4.ip_forward=1" where it can be written: Read-only file system',
    );
    expect(lines).toHaveLength(1);
    values['net/ipv4/ip_forward'] = '1';
    check.run();
    expect(said.trouble).toBeUndefined();
  });
});

import {
  type ForwardQuestion,
  planForward,
  planForwardRemoval,
  renderForward,
  renderLegacyForward,
} from './forward.ts';
import { readIptablesSave } from './iptables.ts';
import type { Place } from './place.ts';

const question: ForwardQuestion = {
  overlay: { 4: { network: '10.5.0.0/16', subnet: '10.5.1.0/24' } },
  device: () => 'flannel0',
  mayInsert: true,
};
const filter = (rules: string, place: Place = 'nft', family: 'ip' | 'ip6' = 'ip') => [
  { place, tables: readIptablesSave(family, `*filter\n${rules}\nCOMMIT\n`) },
];
const plan = (rules: string, more: Partial<ForwardQuestion> = {}) =>
  planForward(filter(rules), { ...question, ...more });
const COMMENT = '-m comment --comment "flanneld forward"';
const OWN = `-A FORWARD -s 10.5.0.0/16 ${COMMENT} -j ACCEPT\n-A FORWARD -d 10.5.0.0/16 ${COMMENT} -j ACCEPT`;

describe('planForward()', () => {
  test('adds both rules behind all others where the policy drops', () => {
    const { changes, troubles } = plan(':FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER');
    expect(renderForward(changes)).toBe(
      'add rule ip filter FORWARD ip saddr 10.5.0.0/16 counter accept comment "flanneld forward"\n' +
        'add rule ip filter FORWARD ip daddr 10.5.0.0/16 counter accept comment "flanneld forward"\n',
    );
    expect(troubles).toEqual([]);
  });

  test('inserts them before the rule that drops everything', () => {
    const { changes } = plan(':FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j DROP\n-A FORWARD -j REJECT');
    expect(renderForward(changes).split('\n')[0]).toBe(
      'insert rule ip filter FORWARD position 2 ip saddr 10.5.0.0/16 counter accept comment "flanneld forward"',
    );
    expect(renderLegacyForward(changes)).toContain(`\n-I FORWARD 2 -s 10.5.0.0/16 ${COMMENT} -j ACCEPT\n`);
  });

  test('does nothing where nothing drops, or where the rules are', () => {
    expect(plan(':FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j DROP').changes).toEqual([]);
    expect(plan(`:FORWARD DROP [0:0]\n${OWN}`).changes).toEqual([]);
    const restored = OWN.replaceAll(COMMENT, '');
    expect(plan(`:FORWARD DROP [0:0]\n${restored}`).changes).toEqual([]);
  });

  test('moves rules that somebody got in front of', () => {
    const { changes } = plan(`:FORWARD DROP [0:0]\n-A FORWARD -j DROP\n${OWN}`);
    expect(renderForward(changes).split('\n')).toEqual([
      'delete rule ip filter FORWARD handle 2',
      'delete rule ip filter FORWARD handle 3',
      expect.stringContaining('insert rule ip filter FORWARD position 1 ip saddr'),
      expect.stringContaining('insert rule ip filter FORWARD position 1 ip daddr'),
      '',
    ]);
  });

  test('adds the one that is missing', () => {
    const { changes } = plan(`:FORWARD DROP [0:0]\n${OWN.split('\n')[1]}`);
    expect(changes).toMatchObject([{ type: 'insert', rule: { side: 'saddr' } }]);
  });

  test('names who drops when it may not insert, and what to do', () => {
    expect(plan(':FORWARD DROP [0:0]', { mayInsert: false })).toEqual({
      changes: [],
      troubles: [
        'nftables table ip filter, chain FORWARD drops forwarded packets of pods (policy drop): let it accept packets from and to 10.5.0.0/16, with "iptables -I FORWARD -s 10.5.0.0/16 -j ACCEPT" and the same for -d',
      ],
      doubts: [],
    });
    const unsure = plan(':FORWARD DROP [0:0]\n-A FORWARD -p tcp -j ACCEPT', { mayInsert: false });
    expect([unsure.troubles.length, unsure.doubts.length]).toEqual([0, 1]);
  });

  test("never writes into a table that is not iptables', and gives the command for firewalld", () => {
    const hook = { type: 'filter', hook: 'forward', priority: 10, policy: 'accept' } as const;
    const reject = { handle: 9, expressions: [{ kind: 'other', json: { reject: {} } } as const] };
    const table = { family: 'inet', name: 'firewalld', chains: [{ name: 'filter_FORWARD', hook, rules: [reject] }] };
    const { changes, troubles } = planForward([{ place: 'nft', tables: [table] }], question);
    expect(changes).toEqual([]);
    expect(troubles).toEqual([
      'nftables table inet firewalld, chain filter_FORWARD drops forwarded packets of pods (reject in chain filter_FORWARD): let it accept packets from and to 10.5.0.0/16, with "firewall-cmd --permanent --zone=trusted --add-source=10.5.0.0/16" and --reload',
    ]);
  });

  test('does the same for IPv6', () => {
    const overlay = { 6: { network: 'fd00::/48', subnet: 'fd00:0:0:1::/64' } };
    const { changes } = planForward(filter(':FORWARD DROP [0:0]', 'legacy', 'ip6'), { ...question, overlay });
    expect(changes).toMatchObject([{ place: 'legacy', rule: { family: 'ip6', network: 'fd00::/48' } }, {}]);
    expect(plan(':FORWARD DROP [0:0]', { overlay }).changes).toEqual([]);
  });
});

test('planForwardRemoval() finds our rules for these networks, and nothing else', () => {
  const rules = `:FORWARD DROP [0:0]\n-A FORWARD -s 10.5.0.0/16 -j ACCEPT\n${OWN}\n-A FORWARD -s 10.6.0.0/16 ${COMMENT} -j ACCEPT`;
  const handles = (networks?: string[]) =>
    planForwardRemoval(filter(rules), networks).map((change) => change.type === 'delete' && change.handle);
  expect(handles(['10.5.0.0/16'])).toEqual([2, 3]);
  expect(handles(['10.7.0.0/16'])).toEqual([]);
  expect(handles()).toEqual([2, 3, 4]);
});

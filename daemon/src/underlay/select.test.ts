import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { type InterfaceOptions, isSettling, type LinkFacts, type NodeFacts, selectInterface } from './select.ts';

const address = (text: string, permanent = true, more = {}): LinkFacts['addresses'][number] => ({
  address: parseIp(text),
  permanent,
  unfit: false,
  ...more,
});
const link = (name: string, index: number, ...addresses: LinkFacts['addresses']): LinkFacts => {
  return { name, index, mtu: 1500, addresses };
};
const facts: NodeFacts = {
  links: [
    link('lo', 1, address('127.0.0.1'), address('::1')),
    link('eth0', 2, address('169.254.7.7'), address('10.0.2.15', false), address('10.0.2.16')),
    link('eth1', 3, address('192.168.33.10')),
    link('empty', 4),
    link(
      'eth5',
      5,
      address('fe80::5'),
      address('2001:db8::bad', true, { unfit: true }),
      address('2001:db8::7', false, { temporary: true }),
      address('2001:db8::5', false),
    ),
    link('eth6', 6, address('10.6.0.6'), address('fd00:6::9', false), address('fd00:6::6')),
  ],
  defaultRoute: { ipv4: 2, ipv6: 5 },
  reachSource: undefined,
};
const NONE: InterfaceOptions = { names: [], patterns: [] };
const select = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}) => {
  const found = selectInterface({ ...NONE, ...options }, 'ipv4', { ...facts, ...more });
  return `${found.name} ${formatIp(found.address)} ${formatIp(found.publicIp!)}`;
};

describe('selectInterface()', () => {
  test('selectInterface() takes the interface of the default route and its best address', () => {
    expect(select({})).toBe('eth0 10.0.2.16 10.0.2.16');
  });

  test('selectInterface() takes -public-ip for the address of an interface when nothing else is asked', () => {
    expect(select({ publicIp: parseIp('192.168.33.10') })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(() => select({ publicIp: parseIp('203.0.113.1') })).toThrow('no interface has this address');
  });

  test('selectInterface() publishes -public-ip with an interface named by -iface', () => {
    expect(select({ names: ['eth1'], publicIp: parseIp('203.0.113.1') })).toBe('eth1 192.168.33.10 203.0.113.1');
  });

  test('selectInterface() tries -iface in order, by name and by address', () => {
    expect(select({ names: ['eth9', 'empty', '192.168.33.10'] })).toBe('eth1 192.168.33.10 192.168.33.10');
  });

  test('selectInterface() matches -iface-regex against addresses first, names second, after -iface', () => {
    expect(select({ patterns: [/^192\.168/] })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(select({ patterns: [/eth.*/] })).toBe('eth0 10.0.2.16 10.0.2.16');
    expect(select({ names: ['eth1'], patterns: [/eth0/] })).toBe('eth1 192.168.33.10 192.168.33.10');
  });

  test('selectInterface() takes the interface by which an address is reached', () => {
    const canReach = parseIp('192.168.33.99');
    expect(select({ canReach }, { reachSource: parseIp('192.168.33.10') })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(() => select({ canReach })).toThrow('-iface-can-reach=192.168.33.99: there is no route to it');
  });

  test('selectInterface() says of every way why it failed', () => {
    expect(() => select({ names: ['eth9', 'empty'] })).toThrow(
      'Found no interface for the traffic between nodes (-iface=eth9: there is no such interface; -iface=empty: interface empty has no usable IPv4 address)',
    );
    expect(() => select({}, { defaultRoute: { ipv4: undefined, ipv6: 5 } })).toThrow('name the interface with -iface');
  });
});

describe('selectInterface() over IPv6', () => {
  const select6 = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}) => {
    const found = selectInterface({ ...NONE, ...options }, 'ipv6', { ...facts, ...more });
    return `${found.name} ${formatIp(found.address)} ${formatIp(found.publicIpv6!)}`;
  };

  test('selectInterface() takes the interface of the default route of IPv6, and no address that passes', () => {
    expect(select6({})).toBe('eth5 2001:db8::5 2001:db8::5');
    expect(() => select6({}, { defaultRoute: { ipv4: 2, ipv6: undefined } })).toThrow(
      'default route of IPv6: there is none: name the interface with -iface',
    );
  });

  test('selectInterface() needs no address of IPv4, and tells the one that is there', () => {
    expect(selectInterface(NONE, 'ipv6', facts)).not.toHaveProperty('publicIp');
    const found = selectInterface({ ...NONE, names: ['eth6'] }, 'ipv6', facts);
    expect(found).toMatchObject({ address: parseIp('fd00:6::6'), publicIp: parseIp('10.6.0.6') });
    expect(selectInterface({ ...NONE, names: ['eth6'] }, 'ipv4', facts)).toMatchObject({
      address: parseIp('10.6.0.6'),
      publicIpv6: parseIp('fd00:6::6'),
    });
  });

  test('selectInterface() takes an address of either family for the name of its interface', () => {
    expect(select6({ names: ['fd00:6::9'] })).toBe('eth6 fd00:6::9 fd00:6::9');
    expect(select6({ names: ['10.6.0.6'] })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(select({ names: ['fd00:6::9'] })).toBe('eth6 10.6.0.6 10.6.0.6');
  });

  test('selectInterface() matches -iface-regex against its own family, the names, then the other family', () => {
    expect(select6({ patterns: [/^fd00:6::9$/] })).toBe('eth6 fd00:6::9 fd00:6::9');
    expect(select6({ patterns: [/^eth5$/] })).toBe('eth5 2001:db8::5 2001:db8::5');
    expect(select6({ patterns: [/^10\.6\./] })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(select({ patterns: [/^fd00:6:/] })).toBe('eth6 10.6.0.6 10.6.0.6');
  });

  test('selectInterface() takes the interface by which an address is reached, and -public-ipv6', () => {
    const canReach = parseIp('fd00:6::99');
    expect(select6({ canReach }, { reachSource: parseIp('fd00:6::6') })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(() => select6({ canReach })).toThrow('-iface-can-reach=fd00:6::99: there is no route to it');
    expect(select6({ publicIpv6: parseIp('fd00:6::6') })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(() => select6({ publicIpv6: parseIp('fd00:6::7') })).toThrow('-public-ipv6=fd00:6::7: no interface has');
    expect(select6({ publicIpv6: parseIp('fd00:6::7'), names: ['eth5'] })).toBe('eth5 2001:db8::5 fd00:6::7');
  });

  test('selectInterface() takes no address that is still checked, and isSettling() says that there is one', () => {
    const links = [link('eth7', 7, address('fd00:7::7', true, { unfit: true, tentative: true }))];
    for (const [options, reason] of [
      [{ names: ['eth7'] }, 'has no usable IPv6 address'],
      [{ names: ['fd00:7::7'] }, 'still looks whether another host has it'],
    ] as const) {
      expect(() => select6(options, { links })).toThrow(reason);
    }
    expect([isSettling({ ...facts, links }), isSettling(facts)]).toEqual([true, false]);
  });

  test('selectInterface() has the MTU that a router asks for, for IPv6 alone', () => {
    const links = [{ ...facts.links[5]!, ipv6Mtu: 1400 }];
    const mtu = (mode: 'ipv4' | 'ipv6') => selectInterface({ ...NONE, names: ['eth6'] }, mode, { ...facts, links }).mtu;
    expect([mtu('ipv4'), mtu('ipv6')]).toEqual([1500, 1400]);
  });

  test('selectInterface() says why an interface is of no use', () => {
    expect(() => select6({ names: ['eth1'] })).toThrow('interface eth1 has no usable IPv6 address');
    expect(() => select6({ names: ['fe80::5'] })).toThrow('fe80::5 is link-local: name an address like fd00::1');
  });
});

import type { Family } from '@flannel-ts/inet/family';
import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import {
  type InterfaceOptions,
  type LinkFacts,
  type NodeFacts,
  type SelectionContext,
  selectInterface,
} from './select.ts';

const address = (text: string, permanent = true, more = {}): LinkFacts['addresses'][number] => ({
  address: parseIp(text),
  permanent,
  unfit: false,
  ...more,
});
const link = (name: string, index: number, ...addresses: LinkFacts['addresses']): LinkFacts => {
  return { name, index, mtu: 1500, up: true, addresses };
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
  defaultRoutes: { 4: [2], 6: [5] },
  reachSource: undefined,
};
const NONE: InterfaceOptions = { names: [], patterns: [] };
const ALONE: SelectionContext = { networks: [], subnets: [] };
const select = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}) => {
  const found = selectInterface({ ...NONE, ...options }, [4], { ...facts, ...more }, ALONE);
  return `${found.name} ${formatIp(found.address)} ${formatIp(found.publicIp!)}`;
};

describe('selectInterface()', () => {
  test('selectInterface() chooses the interface of the default route and its best address', () => {
    expect(select({})).toBe('eth0 10.0.2.16 10.0.2.16');
  });

  test('selectInterface() uses -public-ip as the address of an interface when nothing else is given', () => {
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

  test('selectInterface() chooses the interface by which an address is reached', () => {
    const canReach = parseIp('192.168.33.99');
    expect(select({ canReach }, { reachSource: parseIp('192.168.33.10') })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(() => select({ canReach })).toThrow('-iface-can-reach=192.168.33.99: there is no route to it');
  });

  test('selectInterface() says of every way why it failed', () => {
    expect(() => select({ names: ['eth9', 'empty'] })).toThrow(
      'Found no interface for the traffic between nodes (-iface=eth9: there is no such interface; -iface=empty: interface empty has no usable IPv4 address)',
    );
    expect(() => select({}, { defaultRoutes: { 4: [], 6: [5] } })).toThrow('name the interface with -iface');
  });
});

describe('selectInterface() over IPv6', () => {
  const select6 = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}) => {
    const found = selectInterface({ ...NONE, ...options }, [6], { ...facts, ...more }, ALONE);
    return `${found.name} ${formatIp(found.address)} ${formatIp(found.publicIpv6!)}`;
  };

  test('selectInterface() chooses the interface of the IPv6 default route, and no temporary address', () => {
    expect(select6({})).toBe('eth5 2001:db8::5 2001:db8::5');
    expect(() => select6({}, { defaultRoutes: { 4: [2], 6: [] } })).toThrow(
      'IPv6 default route: there is none: name the interface with -iface',
    );
  });

  test('selectInterface() needs no IPv4 address, and uses the one that is there', () => {
    expect(selectInterface(NONE, [6], facts, ALONE)).not.toHaveProperty('publicIp');
    const found = selectInterface({ ...NONE, names: ['eth6'] }, [6], facts, ALONE);
    expect(found).toMatchObject({ address: parseIp('fd00:6::6', 6), publicIp: parseIp('10.6.0.6', 4) });
    expect(selectInterface({ ...NONE, names: ['eth6'] }, [4], facts, ALONE)).toMatchObject({
      address: parseIp('10.6.0.6', 4),
      publicIpv6: parseIp('fd00:6::6', 6),
    });
  });

  test('selectInterface() accepts an address of either family in place of an interface’s name', () => {
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

  test('selectInterface() chooses the interface by which an address is reached, and -public-ipv6', () => {
    const canReach = parseIp('fd00:6::99');
    expect(select6({ canReach }, { reachSource: parseIp('fd00:6::6') })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(() => select6({ canReach })).toThrow('-iface-can-reach=fd00:6::99: there is no route to it');
    expect(select6({ publicIpv6: parseIp('fd00:6::6') })).toBe('eth6 fd00:6::6 fd00:6::6');
    expect(() => select6({ publicIpv6: parseIp('fd00:6::7') })).toThrow('-public-ipv6=fd00:6::7: no interface has');
    expect(select6({ publicIpv6: parseIp('fd00:6::7'), names: ['eth5'] })).toBe('eth5 2001:db8::5 fd00:6::7');
  });

  test('selectInterface() chooses no address that is still checked for duplicates', () => {
    const links = [link('eth7', 7, address('fd00:7::7', true, { unfit: true, tentative: true }))];
    for (const [options, reason] of [
      [{ names: ['eth7'] }, 'has no usable IPv6 address'],
      [{ names: ['fd00:7::7'] }, 'still checks whether another host has it'],
    ] as const) {
      expect(() => select6(options, { links })).toThrow(reason);
    }
  });

  test('selectInterface() has the MTU that a router asks for, for IPv6 alone', () => {
    const links = [{ ...facts.links[5]!, ipv6Mtu: 1400 }];
    const mtu = (outer: Family) =>
      selectInterface({ ...NONE, names: ['eth6'] }, [outer], { ...facts, links }, ALONE).mtu;
    expect([mtu(4), mtu(6)]).toEqual([1500, 1400]);
  });

  test('selectInterface() says why an interface is of no use', () => {
    expect(() => select6({ names: ['eth1'] })).toThrow('interface eth1 has no usable IPv6 address');
    expect(() => select6({ names: ['fe80::5'] })).toThrow('fe80::5 is link-local: name an address like fd00::1');
  });
});

describe('selectInterface() over both families', () => {
  const both = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}, context = ALONE) => {
    const found = selectInterface({ ...NONE, ...options }, [4, 6], { ...facts, ...more }, context);
    expect(found.address).toBe(found.addresses[4]);
    return `${found.name} ${formatIp(found.addresses[4]!)} ${formatIp(found.addresses[6]!)}`;
  };

  test('selectInterface() needs an address of each on one interface, and says which one is missing', () => {
    expect(both({ names: ['eth6'] })).toBe('eth6 10.6.0.6 fd00:6::6');
    expect(both({ names: ['eth1', 'eth6'] })).toBe('eth6 10.6.0.6 fd00:6::6');
    expect(() => both({ names: ['eth1'] })).toThrow('interface eth1 has no usable IPv6 address');
    expect(() => both({ names: ['eth5'] })).toThrow('interface eth5 has no usable IPv4 address');
  });

  test('selectInterface() accepts an address of either family for the interface, and uses that address', () => {
    expect(both({ names: ['fd00:6::9'] })).toBe('eth6 10.6.0.6 fd00:6::9');
    expect(both({ names: ['10.6.0.6'] })).toBe('eth6 10.6.0.6 fd00:6::6');
    expect(both({ publicIpv6: parseIp('fd00:6::9') })).toBe('eth6 10.6.0.6 fd00:6::9');
    expect(both({ publicIp: parseIp('10.6.0.6') })).toBe('eth6 10.6.0.6 fd00:6::6');
  });

  test('selectInterface() matches -iface-regex against IPv4, and chooses an IPv6 address that matches, too', () => {
    expect(both({ patterns: [/^(10\.6\.|fd00:6::9)/] })).toBe('eth6 10.6.0.6 fd00:6::9');
    expect(both({ patterns: [/^10\./] })).toBe('eth6 10.6.0.6 fd00:6::6');
    expect(both({ patterns: [/^fd00:/] })).toBe('eth6 10.6.0.6 fd00:6::6');
  });

  test('selectInterface() prefers the interface that has the default routes of both', () => {
    const eth7 = link('eth7', 7, address('10.7.0.7'), address('fd00:7::7'));
    const links = [...facts.links, eth7];
    expect(both({}, { links, defaultRoutes: { 4: [6, 7], 6: [5, 7] } })).toBe('eth7 10.7.0.7 fd00:7::7');
    expect(both({}, { links, defaultRoutes: { 4: [6, 7], 6: [5] } })).toBe('eth6 10.6.0.6 fd00:6::6');
  });

  test('selectInterface() keeps the addresses used before', () => {
    const previous = [parseIp('fd00:6::9', 6)];
    expect(both({ names: ['eth6'] }, {}, { ...ALONE, previous })).toBe('eth6 10.6.0.6 fd00:6::9');
  });

  test('selectInterface() has the smaller MTU of both', () => {
    const links = [{ ...facts.links[5]!, ipv6Mtu: 1400 }];
    expect(selectInterface({ ...NONE, names: ['eth6'] }, [4, 6], { ...facts, links }, ALONE).mtu).toBe(1400);
  });
});

describe('selectInterface() beside the overlay', () => {
  const networks = [parsePrefix('10.244.0.0/16'), parsePrefix('fd00:244::/48')];
  const subnets = [parsePrefix('10.244.5.0/24')];
  const nic = link('eth0', 2, address('172.16.15.10'), address('fd00:16::10'));
  const cni0 = link('cni0', 7, address('10.244.5.1'), address('10.7.0.1'));
  const select = (options: Partial<InterfaceOptions>, links: LinkFacts[], context: Partial<SelectionContext> = {}) => {
    const node = { links, defaultRoutes: { 4: [2, 3], 6: [2] }, reachSource: undefined };
    const found = selectInterface({ ...NONE, ...options }, [4], node, { networks, subnets, ...context });
    return `${found.name} ${formatIp(found.address)}`;
  };

  test('selectInterface() chooses no address of pods, nor a device of the overlay, by a pattern', () => {
    const patterns = [/^10\.\d{1,3}\.\d{1,3}\.\d{1,3}$/, /^172\.16\.\d{1,3}\.\d{1,3}$/];
    const flannel = link('flannel0', 1, address('10.244.5.0'));
    const veth = link('veth1a2b', 3, address('10.244.5.1'));
    expect(select({ patterns }, [flannel, nic, veth, cni0])).toBe('eth0 172.16.15.10');
    expect(select({ patterns: [/^(cni0|flannel.*|eth0)$/] }, [flannel, cni0, nic])).toBe('eth0 172.16.15.10');
  });

  test('selectInterface() chooses no address of pods even when the subnet is not known any more', () => {
    const docker0 = link('docker0', 7, address('10.244.5.1'));
    const patterns = [/^10\./, /^172\.16\./];
    expect(select({ patterns }, [docker0, nic], { subnets: [] })).toBe('eth0 172.16.15.10');
    const veth = link('veth1a2b', 3, address('10.244.5.1'));
    expect(select({ patterns }, [veth, nic], { subnets: [] })).toBe('eth0 172.16.15.10');
  });

  test('selectInterface() refuses what is named and belongs to pods, and says why', () => {
    expect(() => select({ names: ['cni0'] }, [nic, cni0])).toThrow('-iface=cni0: cni0 belongs to the overlay itself');
    expect(() => select({ names: ['10.244.5.1'] }, [nic, cni0])).toThrow(
      "-iface=10.244.5.1: 10.244.5.1 is inside 10.244.5.0/24, this node's subnet of pods",
    );
  });

  test('selectInterface() chooses an address inside the network where the node has no other one', () => {
    const inside = link('eth0', 2, address('10.244.9.9'));
    expect(select({}, [link('eth0', 2, address('10.244.9.9'), address('172.16.15.10'))])).toBe('eth0 172.16.15.10');
    for (const options of [{}, { names: ['eth0'] }, { names: ['10.244.9.9', 'eth1'] }, { patterns: [/^10\./] }]) {
      expect(select(options, [inside])).toBe('eth0 10.244.9.9');
    }
  });

  test('selectInterface() chooses a container bridge by a pattern only when nothing else matches', () => {
    const docker0 = link('docker0', 1, address('172.17.0.1'));
    expect(select({ patterns: [/^172\.17\./, /^172\./] }, [docker0, nic])).toBe('eth0 172.16.15.10');
    expect(select({ patterns: [/^172\.17\./] }, [docker0, nic])).toBe('docker0 172.17.0.1');
    expect(select({ names: ['docker0'] }, [docker0, nic])).toBe('docker0 172.17.0.1');
  });

  test('selectInterface() keeps the address used before among those that the same flag allows', () => {
    const eth1 = link('eth1', 3, address('192.168.9.9'));
    const more = link('eth0', 2, address('172.16.15.9'), ...nic.addresses);
    const before = { previous: [parseIp('172.16.15.10', 4)] };
    expect(select({}, [more])).toBe('eth0 172.16.15.9');
    expect(select({}, [more], before)).toBe('eth0 172.16.15.10');
    expect(select({ patterns: [/^172/] }, [more], before)).toBe('eth0 172.16.15.10');
    expect(select({}, [nic, eth1], { previous: [parseIp('192.168.9.9', 4)] })).toBe('eth1 192.168.9.9');
    expect(select({ names: ['eth0', 'eth1'] }, [nic, eth1], { previous: [parseIp('192.168.9.9', 4)] })).toBe(
      'eth0 172.16.15.10',
    );
  });

  test('selectInterface() prefers the address of the node to a virtual one, which may be permanent while it is not', () => {
    const dhcp = link('eth0', 2, address('172.16.15.100', true, { secondary: true }), address('172.16.15.10', false));
    expect(select({}, [dhcp])).toBe('eth0 172.16.15.10');
    expect(select({}, [link('eth0', 2, address('172.16.15.100', true, { secondary: true }))])).toBe(
      'eth0 172.16.15.100',
    );
  });
});

import { formatIpv4, parseIpv4 } from '@flannel-ts/inet/ipv4';
import type { InterfaceOptions } from '../options.ts';
import { type LinkFacts, type NodeFacts, selectInterface } from './interface.ts';

const address = (text: string, permanent = true, deprecated = false) => ({
  address: parseIpv4(text),
  permanent,
  deprecated,
});
const link = (name: string, index: number, ...addresses: LinkFacts['addresses']): LinkFacts => {
  return { name, index, mtu: 1500, addresses };
};
const facts: NodeFacts = {
  links: [
    link('lo', 1, address('127.0.0.1')),
    link('eth0', 2, address('169.254.7.7'), address('10.0.2.15', false), address('10.0.2.16')),
    link('eth1', 3, address('192.168.33.10')),
    link('empty', 4),
  ],
  defaultRouteIndex: 2,
  reachSource: undefined,
};
const select = (options: Partial<InterfaceOptions>, more: Partial<NodeFacts> = {}) => {
  const found = selectInterface({ names: [], patterns: [], ...options }, { ...facts, ...more });
  return `${found.name} ${formatIpv4(found.address)} ${formatIpv4(found.publicIp)}`;
};

describe('selectInterface()', () => {
  test('selectInterface() takes the interface of the default route and its best address', () => {
    expect(select({})).toBe('eth0 10.0.2.16 10.0.2.16');
  });

  test('selectInterface() takes -public-ip for the address of an interface when nothing else is asked', () => {
    expect(select({ publicIp: parseIpv4('192.168.33.10') })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(() => select({ publicIp: parseIpv4('203.0.113.1') })).toThrow('no interface has this address');
  });

  test('selectInterface() publishes -public-ip with an interface named by -iface', () => {
    expect(select({ names: ['eth1'], publicIp: parseIpv4('203.0.113.1') })).toBe('eth1 192.168.33.10 203.0.113.1');
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
    const canReach = parseIpv4('192.168.33.99');
    expect(select({ canReach }, { reachSource: parseIpv4('192.168.33.10') })).toBe('eth1 192.168.33.10 192.168.33.10');
    expect(() => select({ canReach })).toThrow('-iface-can-reach=192.168.33.99: there is no route to it');
  });

  test('selectInterface() says of every way why it failed', () => {
    expect(() => select({ names: ['eth9', 'empty'] })).toThrow(
      'Found no interface for the traffic between nodes (-iface=eth9: there is no such interface; -iface=empty: interface empty has no usable IPv4 address)',
    );
    expect(() => select({}, { defaultRouteIndex: undefined })).toThrow('name the interface with -iface');
  });
});

import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { VXLAN } from '../../testing/vxlan.ts';
import type { ActualLink, ActualVxlan } from './actual.ts';
import { compareLink } from './compare-link.ts';
import type { DesiredLink } from './desired.ts';

const { mac } = VXLAN;
const wanted: DesiredLink = { ...VXLAN, name: 'flannel.1', mtu: 1450, addresses: [] };
const attributes: ActualVxlan = { ...VXLAN, group: undefined, omitsChecksums: false, oddities: [] };
const link: ActualLink = {
  name: 'flannel.1',
  index: 7,
  mtu: 1450,
  up: true,
  arp: true,
  addresses: [],
  attributes,
  ipv6: { makesLinkLocal: false, acceptsAdvertisements: false },
};
const compare = (there: Partial<ActualLink>) => compareLink(wanted, { ...link, ...there });
const settings = (there: Partial<ActualLink>) => {
  const comparison = compare(there);
  return comparison.answer === 'settings' ? comparison.settings : comparison.answer;
};

describe('compareLink() of a vxlan device', () => {
  test('compareLink() has nothing to do where all is right, with and without IPv6', () => {
    expect(compare({})).toEqual({ answer: 'nothing' });
    const { ipv6, ...without } = link;
    expect(ipv6).toBeDefined();
    expect(compareLink(wanted, without)).toEqual({ answer: 'nothing' });
    expect(compare({ ipv6: { makesLinkLocal: false } })).toEqual({ answer: 'nothing' });
  });

  test('compareLink() changes in place what can be changed in place, and nothing else', () => {
    expect(settings({ mtu: 1400 })).toEqual({ mtu: 1450 });
    expect(settings({ up: false })).toEqual({ up: true });
    expect(settings({ arp: false })).toEqual({ arp: true });
    expect(settings({ master: 'br0' })).toEqual({ leave: 'br0' });
    expect(settings({ attributes: { ...attributes, mac: parseMac('0a:58:0a:05:01:99') } })).toEqual({ mac });
    expect(settings({ ipv6: { makesLinkLocal: true, acceptsAdvertisements: false } })).toEqual({ linkLocal: 'none' });
    expect(settings({ ipv6: { makesLinkLocal: false, acceptsAdvertisements: true } })).toEqual({
      acceptRouterAdvertisements: false,
    });
    expect(settings({ mtu: 1400, up: false })).toEqual({ mtu: 1450, up: true });
  });

  test.each<[Partial<ActualVxlan>, string]>([
    [{ vni: 2 }, 'VNI is 2, not 1'],
    [{ port: 4789 }, 'port is 4789, not 8472'],
    [{ parent: 'eth1' }, 'parent is eth1, not eth0'],
    [{ parent: undefined }, 'parent is none, not eth0'],
    [{ local: parseIp('10.0.0.2') }, 'local address is 10.0.0.2, not 10.0.0.1'],
    [{ local: parseIp('fd00::1') }, 'local address is fd00::1, not 10.0.0.1'],
    [{ local: undefined }, 'local address is none, not 10.0.0.1'],
    [{ group: parseIp('239.1.1.1') }, 'default destination is 239.1.1.1, not none'],
    [{ learning: true }, 'learning is true, not false'],
    [{ gbp: true }, 'GBP is true, not false'],
    [{ omitsChecksums: true }, 'omission of UDP checksums is true, not false'],
    [{ oddities: ['ttl 1', 'proxy'] }, 'one of its settings is ttl 1, not as the kernel gives it'],
  ])('compareLink() remakes a device of %p', (there, reason) => {
    expect(compare({ attributes: { ...attributes, ...there } })).toEqual({ answer: 'remake', reason });
  });

  test('compareLink() leaves a device of another kind to who made it', () => {
    const description = 'a dummy device';
    expect(compare({ attributes: { kind: 'other', description } })).toEqual({ answer: 'foreign', description });
    expect(compare({ attributes: { kind: 'tun' } })).toEqual({ answer: 'foreign', description: 'of kind tun' });
  });
});

describe('compareLink() of an ipip device', () => {
  const ipip: DesiredLink = {
    kind: 'ipip',
    name: 'flannel.ipip',
    mtu: 1480,
    addresses: [],
    local: parseIp('10.0.0.1'),
  };
  const there = { local: parseIp('10.0.0.1'), remote: undefined, oddities: [] as readonly string[] };
  const compareIpip = (more: Partial<typeof there> | { remote: ReturnType<typeof parseIp> }) =>
    compareLink(ipip, { ...link, mtu: 1480, attributes: { kind: 'ipip', ...there, ...more } });

  test('compareLink() remakes a device with other ends', () => {
    expect(compareIpip({})).toEqual({ answer: 'nothing' });
    expect(compareIpip({ local: parseIp('10.0.0.2') })).toEqual({
      answer: 'remake',
      reason: 'local address is 10.0.0.2, not 10.0.0.1',
    });
    expect(compareIpip({ remote: parseIp('10.0.0.9') })).toEqual({
      answer: 'remake',
      reason: 'remote address is 10.0.0.9, not none',
    });
  });
});

test('compareLink() gives a TUN device no queue shorter than the usual one, and leaves a longer one', () => {
  const tun: DesiredLink = { kind: 'tun', name: 'flannel0', mtu: 1472, addresses: [] };
  const compareTun = (queueLength: number) =>
    compareLink(tun, { ...link, mtu: 1472, arp: false, attributes: { kind: 'tun' }, queueLength });
  expect([500, 5000].map(compareTun)).toEqual([{ answer: 'nothing' }, { answer: 'nothing' }]);
  expect(compareTun(10)).toEqual({ answer: 'settings', settings: { queueLength: 500 } });
});

import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import type { Device, Peer } from '@flannel-ts/wireguard/device';
import { keyFromBytes, NO_KEY } from '@flannel-ts/wireguard/key';
import type { WireguardAttributes, WireguardPeer } from './desired.ts';
import { describeWireguardChange, diffWireguard, EndpointMemory } from './wireguard.ts';

const NOW = 1_764_385_200;
const keyOf = (byte: number): string => keyFromBytes(new Uint8Array(32).fill(byte));
const endpoint = { address: parseIp('10.64.0.17'), port: parsePort(51820) };
const peer: WireguardPeer = { publicKey: keyOf(2), endpoint, keepalive: 0, allowedIps: [parsePrefix('10.5.2.0/24')] };
const wanted: WireguardAttributes = { kind: 'wireguard', port: parsePort(51820), privateKey: keyOf(1), peers: [peer] };
const peerThere: Peer = {
  ...peer,
  presharedKey: undefined,
  lastHandshake: NOW - 60,
  receivedBytes: 1n,
  sentBytes: 1n,
};
const there: Device = {
  index: 7,
  name: 'flannel-wg',
  privateKey: keyOf(1),
  publicKey: keyOf(9),
  listenPort: 51820,
  fwmark: 0,
  peers: [peerThere],
};
const NOTHING_KNOWN = new Map();
const diff = (want: Partial<WireguardAttributes>, have: Partial<Device>, known = NOTHING_KNOWN) =>
  diffWireguard({ ...wanted, ...want }, { ...there, ...have }, known, NOW);

describe('diffWireguard()', () => {
  test('nothing is done to a device that is as desired', () => {
    expect(diff({}, {})).toBeUndefined();
  });

  test('a new device gets its key, its port and its peers', () => {
    const presharedKey = keyOf(3);
    expect(diff({ peers: [{ ...peer, presharedKey }] }, { privateKey: undefined, listenPort: 0, peers: [] })).toEqual({
      privateKey: keyOf(1),
      listenPort: 51820,
      peers: [{ ...peer, presharedKey }],
    });
  });

  test('a peer that is not wanted is removed, the others are not touched', () => {
    expect(diff({}, { peers: [{ ...peerThere, publicKey: keyOf(8) }, peerThere] })).toEqual({
      peers: [{ publicKey: keyOf(8), remove: true }],
    });
  });

  test('a peer that is not wanted stays as long as not all leases are known', () => {
    const none = { ...wanted, peers: [] };
    expect(diffWireguard(none, there, NOTHING_KNOWN, NOW, false)).toBeUndefined();
    expect(diffWireguard(none, there, NOTHING_KNOWN, NOW, true)).toEqual({
      peers: [{ publicKey: keyOf(2), remove: true }],
    });
  });

  test('of a peer only what differs is set', () => {
    expect(diff({ peers: [{ ...peer, keepalive: 25 }] }, {})).toEqual({
      peers: [{ publicKey: keyOf(2), keepalive: 25 }],
    });
    expect(diff({ peers: [{ ...peer, presharedKey: keyOf(3) }] }, {})).toEqual({
      peers: [{ publicKey: keyOf(2), presharedKey: keyOf(3) }],
    });
    expect(diff({}, { peers: [{ ...peerThere, presharedKey: keyOf(3) }] })).toEqual({
      peers: [{ publicKey: keyOf(2), presharedKey: NO_KEY }],
    });
  });

  test('allowed IPs are added, and replaced only where there is one too many', () => {
    const ipv6 = parsePrefix('fd00:5:0:2::/64');
    const both = [...peer.allowedIps, ipv6];
    expect(diff({ peers: [{ ...peer, allowedIps: both }] }, {})).toEqual({
      peers: [{ publicKey: keyOf(2), allowedIps: [ipv6] }],
    });
    expect(diff({}, { peers: [{ ...peerThere, allowedIps: both }] })).toEqual({
      peers: [{ publicKey: keyOf(2), replaceAllowedIps: true, allowedIps: peer.allowedIps }],
    });
    expect(
      diff({ peers: [{ ...peer, allowedIps: both }] }, { peers: [{ ...peerThere, allowedIps: [...both].reverse() }] }),
    ).toBeUndefined();
  });

  describe('a peer that sends from elsewhere than its lease says', () => {
    const roamed = { ...peerThere, endpoint: { ...endpoint, port: 40000 } };
    const known = new Map([[peer.publicKey, endpoint]]);
    const reset = { peers: [{ publicKey: keyOf(2), endpoint }] };

    test('is followed while its session lasts', () => {
      expect(diff({}, { peers: [roamed] }, known)).toBeUndefined();
    });

    test('is looked for where its lease says when the session is over, or there was none', () => {
      expect(diff({}, { peers: [{ ...roamed, lastHandshake: NOW - 180 }] }, known)).toEqual(reset);
      expect(diff({}, { peers: [{ ...roamed, lastHandshake: undefined }] }, known)).toEqual(reset);
    });

    test('is looked for there when its lease changes, and after a start', () => {
      const before = new Map([[peer.publicKey, { ...endpoint, address: parseIp('10.64.0.99') }]]);
      expect(diff({}, { peers: [roamed] }, before)).toEqual(reset);
      expect(diff({}, { peers: [roamed] })).toEqual(reset);
    });
  });
});

test('describeWireguardChange() shows no secret', () => {
  const change = diff(
    { peers: [{ ...peer, presharedKey: keyOf(3) }] },
    { privateKey: undefined, listenPort: 0, peers: [{ ...peerThere, publicKey: keyOf(8) }] },
  )!;
  expect(describeWireguardChange('flannel-wg', change)).toBe(
    `wg set flannel-wg private-key (not shown) listen-port 51820 peer ${keyOf(8)} remove peer ${keyOf(2)} allowed-ips 10.5.2.0/24`,
  );
});

describe('EndpointMemory', () => {
  const elsewhere = { address: parseIp('192.0.2.1'), port: 4711 };
  const roamed: Device = { ...there, peers: [{ ...peerThere, endpoint: elsewhere }] };

  test('a peer that moves is left where it is, whether this process has set it or an earlier one', () => {
    const set = new EndpointMemory();
    set.set('flannel-wg', wanted);
    expect(diff({}, roamed, new Map(set.see('flannel-wg', wanted, roamed)))).toBeUndefined();
    const seen = new EndpointMemory();
    seen.see('flannel-wg', wanted, there);
    expect(diff({}, roamed, new Map(seen.see('flannel-wg', wanted, roamed)))).toBeUndefined();
  });

  test('nothing is known of a peer that had moved before, or of another device', () => {
    const memory = new EndpointMemory();
    memory.set('flannel-wg-v6', wanted);
    expect([...memory.see('flannel-wg', wanted, roamed)]).toEqual([]);
  });

  test('a lease that has changed is followed', () => {
    const memory = new EndpointMemory();
    memory.set('flannel-wg', wanted);
    const moved = { ...wanted, peers: [{ ...peer, endpoint: { ...endpoint, port: parsePort(51999) } }] };
    const known = new Map(memory.see('flannel-wg', moved, roamed));
    expect(diff({ peers: moved.peers }, roamed, known)).toEqual({
      peers: [{ publicKey: peer.publicKey, endpoint: { ...endpoint, port: 51999 } }],
    });
  });
});

/**
 * Objects as bytes: what is sent, against bytes that Linux 6.18 accepted; what is read, against bytes that it sent
 * (links shortened to the attributes we read).
 */
import { addressBits, FAMILIES, type Family } from '@flannel-ts/inet/family';
import { type Ip, ipFromNumber, parseIp } from '@flannel-ts/inet/ip';
import { macFromBytes, parseMac } from '@flannel-ts/inet/mac';
import { type InterfaceAddress, parseInterfaceAddress, parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { fromHex, SUCCESS, scriptedTransport, toHex } from '../testing/scripted-transport.ts';
import { addAddress, listAddresses, parseAddress } from './address.ts';
import { Netlink } from './connection.ts';
import { parseFdbEntry, replaceFdb } from './fdb.ts';
import { getLink, setHairpin, setLink } from './link.ts';
import { addBridge, addIpip, addVeth, addVxlan, addWireguard, hasLinkKind } from './link-add.ts';
import { parseLink } from './link-codec.ts';
import { parseMessages } from './message.ts';
import { eventOf } from './monitor.ts';
import { parseNeighbour, replaceNeighbour } from './neighbour.ts';
import { addRoute, deleteRoute, listRoutes, parseRoute, replaceRoute } from './route.ts';

/** The payload of the first request that `action` sends. */
function payloadOf(action: (nl: Netlink) => unknown): Uint8Array {
  const transport = scriptedTransport(() => [[SUCCESS], [{ type: 3, payload: new Uint8Array(4) }]]);
  try {
    action(new Netlink(transport));
  } catch {
    // Functions that return the link they made find none here.
  }
  return transport.requests[0]!.payload;
}

function hexOf(action: (nl: Netlink) => unknown): string {
  return toHex(payloadOf(action));
}

function anyIp(family: Family): fc.Arbitrary<Ip> {
  return fc.bigInt(0n, (1n << BigInt(addressBits(family))) - 1n).map((n) => ipFromNumber(family, n));
}

const hex = (text: string): string => text.replace(/\s+/g, '');
const mac = parseMac('0a:58:0a:05:34:00');
const cap = { index: 2, dst: parsePrefix('10.5.52.0/24'), gateway: parseIp('10.5.52.0') };

describe('requests', () => {
  test('addVeth() puts an ifinfomsg in front of the attributes of the peer', () => {
    expect(hexOf((nl) => addVeth(nl, { name: 'v0', mtu: 1472, master: 2, up: true, peer: { name: 'v1' } }))).toBe(
      hex(`00000000 00000000 01000000 01000000
        0700 0300 76300000  0800 0400 c0050000  0800 0a00 02000000
        3000 1280  0900 0100 7665746800000000
                   2000 0280  1c00 0100  00000000000000000000000000000000  0700 0300 76310000`),
    );
  });

  test('addVxlan() writes the port in network order', () => {
    const local = parseIp('10.64.0.16');
    expect(
      hexOf((nl) => addVxlan(nl, { name: 'flannel.1', vni: 1, device: 2, local, port: 8472, mac, up: true })),
    ).toBe(
      hex(`00000000 00000000 01000000 01000000
        0e00 0300 666c616e6e656c2e31000000  0a00 0100 0a580a0534000000
        3c00 1280  0a00 0100 76786c616e000000
          2c00 0280  0800 0100 01000000  0800 0300 02000000  0800 0400 0a400010  0500 0700 00000000  0600 0f00 21180000`),
    );
  });

  test('addVxlan() says of each UDP checksum whether it is there', () => {
    const checksums = { udpChecksum: true, zeroChecksum6Sent: false, zeroChecksum6Accepted: true };
    expect(hexOf((nl) => addVxlan(nl, { name: 'v0', vni: 1, gbp: true, ...checksums }))).toBe(
      hex(`00000000 00000000 00000000 00000000  0700 0300 76300000
        4000 1280  0a00 0100 76786c616e000000
          3000 0280  0800 0100 01000000  0500 0700 00000000
            0500 1200 01000000  0500 1300 00000000  0500 1400 01000000  0400 1700`),
    );
  });

  test('addIpip() turns path MTU discovery off, as flannel does', () => {
    expect(hexOf((nl) => addIpip(nl, { name: 'flannel.ipip', local: parseIp('10.64.0.16'), device: 2, ttl: 64 }))).toBe(
      hex(`00000000 00000000 00000000 00000000  1100 0300 666c616e6e656c2e6970697000 000000
        3400 1280  0900 0100 6970697000000000
          2400 0280  0800 0100 02000000  0800 0200 0a400010  0500 0400 40000000  0500 0a00 00000000`),
    );
  });

  test('setLink() nests the mode of address generation by family', () => {
    expect(hexOf((nl) => setLink(nl, 4, { addressGeneration: 'none' }))).toBe(
      hex('00000000 04000000 00000000 00000000  1000 1a80 0c00 0a80 0500 0800 01000000'),
    );
  });

  test('setHairpin() addresses the port of family AF_BRIDGE', () => {
    expect(hexOf((nl) => setHairpin(nl, 4, true))).toBe(
      hex('07000000 04000000 00000000 00000000  0c00 0c80  0500 0400 01000000'),
    );
  });

  test('setLink() sends one request, with a mask of the flags it changes', () => {
    expect(hexOf((nl) => setLink(nl, 4, { up: false, mtu: 1400 }))).toBe(
      hex('00000000 04000000 00000000 01000000  0800 0400 78050000'),
    );
  });

  test('getLink() asks for one link without statistics', () => {
    expect(hexOf((nl) => getLink(nl, 'v0'))).toBe(
      hex('00000000 00000000 00000000 00000000  0700 0300 76300000  0800 1d00 08000000'),
    );
  });

  test('addAddress() sends IFA_LOCAL and IFA_ADDRESS', () => {
    const address = parseInterfaceAddress('10.5.72.1/24');
    expect(hexOf((nl) => addAddress(nl, { index: 2, address, broadcast: 'auto' }))).toBe(
      hex('02180000 02000000  0800 0200 0a054801  0800 0100 0a054801  0800 0400 0a0548ff'),
    );
  });

  test('replaceRoute() sets onlink in the header', () => {
    expect(hexOf((nl) => replaceRoute(nl, { ...cap, outIndex: 2, onlink: true, protocol: 241 }))).toBe(
      hex('02180000fef10001 04000000  0800 0f00 fe000000  0800 0100 0a053400  0800 0500 0a053400  0800 0400 02000000'),
    );
  });

  test('deleteRoute() leaves protocol, scope and type open', () => {
    expect(hexOf((nl) => deleteRoute(nl, { dst: cap.dst }))).toBe(
      hex('02180000fe00ff00 00000000  0800 0f00 fe000000  0800 0100 0a053400'),
    );
  });

  test('listRoutes() lets the kernel filter', () => {
    expect(hexOf((nl) => listRoutes(nl, { protocol: 241 }))).toBe(hex('02000000fef10000 00000000  0800 0f00 fe000000'));
    expect(hexOf((nl) => listRoutes(nl, { table: 1000, outIndex: 3 }))).toBe(
      hex('0200000000000000 00000000  0800 0f00 e8030000  0800 0400 03000000'),
    );
  });

  test('replaceNeighbour() and replaceFdb() differ in family, flags and order only', () => {
    expect(hexOf((nl) => replaceNeighbour(nl, { index: 2, address: cap.gateway, mac }))).toBe(
      hex('02000000 02000000 8000 00 00  0800 0100 0a053400  0a00 0200 0a580a0534000000'),
    );
    expect(hexOf((nl) => replaceFdb(nl, { index: 5, dst: parseIp('10.64.0.17'), mac }))).toBe(
      hex('07000000 05000000 8000 02 00  0a00 0200 0a580a0534000000  0800 0100 0a400011'),
    );
  });

  test('names that the kernel would refuse or change are refused here', () => {
    for (const name of ['', '.', '..', 'a/b', 'a b', 'a:b', 'veth%d', 'sixteen-bytes-na', 'äääääääää']) {
      expect(() => addBridge(new Netlink(scriptedTransport()), { name })).toThrow(/^Cannot add bridge .*\(EINVAL\)$/);
    }
  });
});

describe('replies', () => {
  test('parseLink() reads a veth that is a port of a bridge', () => {
    const link = parseLink(
      fromHex(`00000100 04000000 03100000 00000000
        0700 0300 76300000  0800 0d00 e8030000  0500 1000 03000000  0800 0400 c0050000  0800 0500 03000000
        0800 2800 ffff0000  0800 2900 00000100  0800 0a00 02000000  0a00 0100 7ac15a76dd480000
        4000 1200  0900 0100 7665746800000000  0b00 0400 6272696467650000
                   2400 0500  0500 0100 00000000  0500 0400 01000000  0500 0800 01000000  0500 2100 00000000`),
    );
    expect(link).toEqual({
      index: 4,
      name: 'v0',
      kind: 'veth',
      mtu: 1472,
      up: true,
      arp: true,
      flags: 0x1003,
      operState: 'lower-layer-down',
      mac: '7a:c1:5a:76:dd:48',
      master: 2,
      peerIndex: 3,
      peerNetnsId: undefined,
      txQueueLength: 1000,
      gsoMaxSize: 65536,
      gsoMaxSegments: 65535,
      addressGeneration: undefined,
      port: { hairpin: true, isolated: false, learning: true, state: 0 },
      data: undefined,
    });
  });

  test('parseLink() reads a TUN device, which has no MAC', () => {
    const link = parseLink(
      fromHex(`0000feff 06000000 d1100100 00000000  0d00 0300 666c616e6e656c3000000000  0800 0400 a4050000
        4000 1200  0800 0100 74756e00
          3400 0280  0500 0300 01000000  0500 0400 00000000  0500 0500 01000000  0500 0600 01000000
                     0500 0700 01000000  0800 0800 02000000`),
    );
    expect(link).toMatchObject({ name: 'flannel0', kind: 'tun', mtu: 1444, up: true, mac: undefined });
    expect(link.data).toEqual({
      kind: 'tun',
      tunKind: 'tun',
      persist: true,
      vnetHeader: true,
      multiQueue: true,
      queues: 2,
    });
  });

  test('parseLink() reads an ipip tunnel, whose hardware address is its local one', () => {
    const link = parseLink(
      payloadOf((nl) => addIpip(nl, { name: 'flannel.ipip', local: parseIp('10.64.0.16'), ttl: 64 })),
    );
    expect(link.data).toEqual({
      kind: 'ipip',
      device: undefined,
      local: parseIp('10.64.0.16'),
      remote: undefined,
      ttl: 64,
      pmtuDiscovery: false,
    });
    expect(parseLink(fromHex('00000003 05000000 00000000 00000000  0800 0100 0a400010')).mac).toBeUndefined();
  });

  test('parseLink() reads how link-local addresses come about', () => {
    const modes = [0, 1, 2, 3, 4].map((mode) =>
      fromHex(`00000000 05000000 00000000 00000000
      1000 1a00  0c00 0a00  0500 0800 0${mode}000000`),
    );
    expect(modes.map((bytes) => parseLink(bytes).addressGeneration)).toEqual([
      'eui64',
      'none',
      'stable-privacy',
      'random',
      undefined,
    ]);
  });

  test('a kind of link that the kernel does not know is an error of its own', () => {
    const refuse = (errno: number, text: string) => {
      const attribute = Buffer.concat([Buffer.from([text.length + 5, 0, 1, 0]), Buffer.from(`${text}\0`)]);
      const error = Buffer.alloc(20);
      error.writeInt32LE(-errno);
      error.writeUInt32LE(16, 4);
      const payload = Buffer.concat([error, attribute, Buffer.alloc(-attribute.length & 3)]);
      return new Netlink(scriptedTransport(() => [[{ type: 2, flags: 0x300, payload: new Uint8Array(payload) }]]));
    };
    const unknown = refuse(95, 'Unknown device type');
    expect(() => addWireguard(unknown, { name: 'wg0' })).toThrow(
      'Cannot add wireguard wg0: this kernel has no wireguard links, and no module wireguard at hand: load it (modprobe wireguard), or use a kernel that has it (EOPNOTSUPP)',
    );
    expect(hasLinkKind(unknown, 'wireguard')).toBe(false);
    expect(hasLinkKind(refuse(22, 'Invalid name'), 'wireguard')).toBe(true);
    expect(hasLinkKind(refuse(17, 'File exists'), 'ipip')).toBe(true);
    const other = refuse(95, 'Not on Sundays');
    expect(() => addWireguard(other, { name: 'wg0' })).toThrow('Cannot add wireguard wg0: Not on Sundays (EOPNOTSUPP)');
    expect(() => hasLinkKind(refuse(1, 'No'), 'ipip')).toThrow('Cannot look for ipip links: No (EPERM)');
  });

  test('parseRoute() and parseAddress() read what the kernel listed', () => {
    const [route] = parseMessages(
      fromHex(`3c000000 1800 2200 0e000000 907e0000  02180000fef10001 14000000
        0800 0f00 fe000000  0800 0100 0a053400  0800 0500 0a053400  0800 0400 02000000`),
    );
    expect(parseRoute(route!.payload)).toMatchObject({
      ...{ dst: cap.dst, gateway: cap.gateway },
      outIndex: 2,
      protocol: 241,
      onlink: true,
    });
    const [address] = parseMessages(
      fromHex(`58000000 1400 2200 0b000000 907e0000  02188000 02000000  0800 0100 0a054801  0800 0200 0a054801
        0800 0400 0a0548ff  0900 0300 636e693000000000  0800 0800 80000000  1400 0600 ffffffffffffffff26f8070026f80700`),
    );
    expect(parseAddress(address!.payload)).toEqual({
      family: 4,
      index: 2,
      address: parseInterfaceAddress('10.5.72.1/24'),
      peer: undefined,
      broadcast: parseIp('10.5.72.255'),
      label: 'cni0',
      scope: 0,
      flags: 0x80,
      tentative: false,
      duplicate: false,
    });
  });

  test('truncated objects are refused with EBADMSG', () => {
    for (const parse of [parseLink, parseRoute, parseAddress, parseNeighbour, parseFdbEntry]) {
      expect(() => parse(new Uint8Array(7))).toThrow('(EBADMSG)');
    }
    expect(() => parseAddress(fromHex('02188000 02000000'))).toThrow('no IFA_LOCAL or IFA_ADDRESS');
  });

  test('objects of any bytes are read or refused, and never crash', () => {
    const parsers = [parseLink, parseRoute, parseAddress, parseNeighbour, parseFdbEntry];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 96 }), fc.constantFrom(...parsers), (bytes, parse) => {
        try {
          parse(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'EBADMSG' });
        }
      }),
    );
  });

  test('eventOf() leaves out what is no object of ours', () => {
    const message = { flags: 0, seq: 0, pid: 0, payload: new Uint8Array(16) };
    expect(eventOf({ ...message, type: 80 })).toBeUndefined();
    expect(eventOf({ ...message, type: 17, payload: Uint8Array.of(7, ...new Array(15).fill(0)) })).toBeUndefined();
    expect(eventOf({ ...message, type: 4 })).toEqual({ type: 'lost' });
    expect(eventOf({ ...message, type: 28 })).toBeUndefined();
  });
});

describe('round trips', () => {
  const anyMac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macFromBytes(bytes));
  const index = fc.integer({ min: 1, max: 0x7fff_ffff });
  const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const common = {
    outIndex: maybe(index),
    protocol: fc.nat(255),
    table: fc.integer({ min: 1, max: 0xffff_ffff }),
    priority: maybe(fc.nat(0xffff_ffff)),
    onlink: fc.boolean(),
    mtu: maybe(fc.integer({ min: 68, max: 65535 })),
    scope: fc.nat(255),
    type: fc.nat(255),
  };

  test.each(FAMILIES)('IPv%d routes', (family) => {
    const ip = anyIp(family);
    const prefix = fc.tuple(ip, fc.nat(addressBits(family))).map(([base, length]) => prefixFrom(base, length));
    const spec = fc.record({ dst: maybe(prefix), gateway: maybe(ip), source: maybe(ip), ...common });
    fc.assert(
      fc.property(spec, (fields) => {
        const route = { family, ...fields };
        expect(parseRoute(payloadOf((nl) => addRoute(nl, route)))).toMatchObject(route);
      }),
    );
  });

  test('the family of a route follows from its addresses, and is IPv4 without any', () => {
    for (const ip of ['10.0.0.1', 'fd00::1'].map((text) => parseIp(text))) {
      expect(parseRoute(payloadOf((nl) => addRoute(nl, { gateway: ip })))).toMatchObject({ gateway: ip });
    }
    expect(parseRoute(payloadOf((nl) => addRoute(nl, { outIndex: 1 }))).family).toBe(4);
  });

  test('addresses', () => {
    const any = fc.oneof(
      ...FAMILIES.map((family) => fc.record({ address: anyIp(family), length: fc.nat(addressBits(family)) })),
    ) as fc.Arbitrary<InterfaceAddress>;
    fc.assert(
      fc.property(index, any, fc.nat(255), (link, address, scope) => {
        const parsed = parseAddress(payloadOf((nl) => addAddress(nl, { index: link, address, scope })));
        expect(parsed).toMatchObject({ index: link, address, scope, peer: undefined });
      }),
    );
  });

  test('neighbours and FDB entries', () => {
    fc.assert(
      fc.property(index, fc.oneof(...FAMILIES.map(anyIp)), anyMac, fc.nat(0xffff), (link, ip, lladdr, state) => {
        const neighbour = { index: link, address: ip, mac: lladdr, state };
        expect(parseNeighbour(payloadOf((nl) => replaceNeighbour(nl, neighbour)))).toMatchObject(neighbour);
        const entry = { index: link, dst: ip, mac: lladdr, state, flags: 2 };
        expect(parseFdbEntry(payloadOf((nl) => replaceFdb(nl, entry)))).toMatchObject(entry);
      }),
    );
  });

  test('links', () => {
    const spec = fc.record({
      mtu: fc.nat(0xffff_ffff),
      mac: anyMac,
      master: index,
      txQueueLength: fc.nat(0xffff_ffff),
    });
    fc.assert(
      fc.property(spec, fc.boolean(), (link, up) => {
        const payload = payloadOf((nl) =>
          addBridge(nl, { name: 'br0', up, ...link, defaultPvid: 7, vlanFiltering: true }),
        );
        expect(parseLink(payload)).toMatchObject({
          ...link,
          name: 'br0',
          up,
          kind: 'bridge',
          data: { kind: 'bridge', defaultPvid: 7, vlanFiltering: true },
        });
      }),
    );
  });

  test('the address list of a link asks the kernel for that link', () => {
    expect(hexOf((nl) => listAddresses(nl, { index: 2 }))).toBe(hex('02000000 02000000'));
  });
});

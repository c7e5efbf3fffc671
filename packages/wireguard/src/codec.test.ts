import { addressBits, FAMILIES } from '@flannel-ts/inet/family';
import { ipFromNumber, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import { attribute, attributeNested, attributeString, concatBytes } from '@flannel-ts/rtnetlink/attributes';
import fc from 'fast-check';
import { type DeviceChange, encodeDeviceChange, type PeerChange, parseDevice } from './codec.ts';
import { keyFromBytes } from './key.ts';

const keyOf = (byte: number): string => keyFromBytes(new Uint8Array(32).fill(byte));
const hex = (text: string): string => text.replace(/\s+/g, '');
const messagesOf = (change: DeviceChange): Uint8Array[] =>
  encodeDeviceChange(7, change).map((parts) => concatBytes(parts));
const PEER: PeerChange = {
  publicKey: keyOf(0x22),
  presharedKey: keyOf(0x33),
  endpoint: { address: parseIp('10.64.0.17'), port: 51820 },
  keepalive: 25,
  replaceAllowedIps: true,
  allowedIps: [parsePrefix('10.5.52.0/24')],
};

describe('encodeDeviceChange()', () => {
  test('sends what the kernel wants of a device and a peer', () => {
    const change = { privateKey: keyOf(0x11), listenPort: 51820, fwmark: 0x4000, replacePeers: true, peers: [PEER] };
    const [message] = messagesOf(change);
    expect(Buffer.from(message!).toString('hex')).toBe(
      hex(`0800 0100 07000000
        2400 0300 ${'11'.repeat(32)}
        0800 0500 01000000  0600 0600 6cca0000  0800 0700 00400000
        9400 0880  9000 0080
          2400 0100 ${'22'.repeat(32)}
          2400 0200 ${'33'.repeat(32)}
          0800 0300 02000000
          1400 0400 0200 ca6c 0a400011 0000000000000000
          0600 0500 19000000
          2000 0980 1c00 0080
            0600 0100 02000000  0800 0200 0a053400  0500 0300 18000000`),
    );
  });

  test('leaves alone what is not given', () => {
    expect(messagesOf({}).map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual([hex('0800 0100 07000000')]);
  });

  test('removes a peer by its key, and moves one that is there only', () => {
    const peers = [
      { publicKey: keyOf(1), remove: true },
      { publicKey: keyOf(2), updateOnly: true, endpoint: { address: parseIp('fd00:64::17'), port: 51821 } },
    ];
    const text = Buffer.from(messagesOf({ peers })[0]!).toString('hex');
    expect(text).toContain(hex(`2400 0100 ${'01'.repeat(32)} 0800 0300 01000000`));
    expect(text).toContain(
      hex(`2400 0100 ${'02'.repeat(32)} 0800 0300 04000000
        2000 0400 0a00 ca6d 00000000 fd000064000000000000000000000017 00000000`),
    );
  });

  test('a key that is none is refused without quoting it', () => {
    for (const change of [
      { privateKey: 'hunter2' },
      { peers: [{ publicKey: 'hunter2' }] },
      { peers: [{ ...PEER, presharedKey: 'hunter2' }] },
    ]) {
      expect(() => encodeDeviceChange(7, change)).toThrow(
        /^The (private|public|preshared) key( of a peer)? is no WireGuard key/,
      );
      expect(() => encodeDeviceChange(7, change)).not.toThrow('hunter2');
    }
  });

  test('many peers go in several requests: the key and the removal of others in the first one alone', () => {
    const peers = Array.from({ length: 1000 }, (_, i) => ({ ...PEER, publicKey: keyFromBytes(numbered(i)) }));
    const messages = messagesOf({ privateKey: keyOf(0x11), replacePeers: true, peers });
    expect(messages.length).toBeGreaterThan(3);
    for (const message of messages) expect(message.length).toBeLessThan(40_000);
    const [first, ...rest] = messages.map((message) => Buffer.from(message));
    const secrets = Buffer.from(hex(`2400 0300 ${'11'.repeat(32)} 0800 0500 01000000`), 'hex');
    expect(first!.includes(secrets)).toBe(true);
    expect(rest.filter((message) => message.includes(secrets.subarray(0, 36)))).toEqual([]);
    expect(parseDevice(messages).peers.map(({ publicKey }) => publicKey)).toEqual(
      peers.map(({ publicKey }) => publicKey),
    );
  });

  test('a peer with more allowed IPs than fit is continued, and only its first part replaces', () => {
    const allowedIps = Array.from({ length: 2000 }, (_, i) =>
      prefixFrom(ipFromNumber(6, (0xfd00n << 112n) | BigInt(i)), 128),
    );
    const messages = messagesOf({ peers: [{ ...PEER, allowedIps }, { publicKey: keyOf(9) }] });
    expect(messages.length).toBe(3);
    const replaces = Buffer.from(hex('0800 0300 02000000'), 'hex');
    expect(messages.map((message) => Buffer.from(message).includes(replaces))).toEqual([true, false, false]);
    const { peers } = parseDevice(messages);
    expect(peers.map(({ publicKey }) => publicKey)).toEqual([PEER.publicKey, keyOf(9)]);
    expect(peers[0]!.allowedIps).toEqual(allowedIps);
  });
});

describe('parseDevice()', () => {
  test('reads a device without a key and without peers', () => {
    const message = concatBytes([
      attribute(1, Uint8Array.of(3, 0, 0, 0)),
      attributeString(2, 'wg0'),
      attribute(3, new Uint8Array(32)),
    ]);
    expect(parseDevice([message])).toEqual({
      index: 3,
      name: 'wg0',
      privateKey: undefined,
      publicKey: undefined,
      listenPort: 0,
      fwmark: 0,
      peers: [],
    });
  });

  test('reads when a peer was last heard of, and how much went to and fro', () => {
    const number = (type: number, value: bigint, bytes = 8) => {
      const payload = new Uint8Array(bytes);
      new DataView(payload.buffer).setBigUint64(0, value, true);
      return attribute(type, payload);
    };
    const peer = [attribute(1, new Uint8Array(32).fill(2)), attribute(2, new Uint8Array(32))];
    const counted = [number(6, 1_764_385_200n, 16), number(7, 2n ** 60n), number(8, 148n)];
    const message = (parts: Uint8Array[]) =>
      concatBytes([attribute(1, Uint8Array.of(3, 0, 0, 0)), attributeNested(8, [attributeNested(0, parts)])]);
    expect(parseDevice([message([...peer, ...counted])]).peers).toEqual([
      {
        publicKey: keyOf(2),
        presharedKey: undefined,
        endpoint: undefined,
        keepalive: 0,
        lastHandshake: 1_764_385_200,
        receivedBytes: 2n ** 60n,
        sentBytes: 148n,
        allowedIps: [],
      },
    ]);
    expect(parseDevice([message([...peer, number(6, 0n, 16)])]).peers[0]!.lastHandshake).toBeUndefined();
  });

  test.each([
    ['no index', ''],
    ['a peer without a key', '0800 0100 03000000  0800 0880 0400 0080'],
    ['a short endpoint', `0800 0100 03000000  3400 0880 3000 0080 2400 0100 ${'22'.repeat(32)} 0800 0400 0a00ca6c`],
  ])('refuses %s', (_, text) => {
    expect(() => parseDevice([Buffer.from(hex(text), 'hex')])).toThrow(
      /^Cannot read a WireGuard device: .*\(EBADMSG\)$/,
    );
  });

  test('any bytes are read or refused, and never crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const prefix = [attribute(1, Uint8Array.of(3, 0, 0, 0)), attribute(8, bytes)];
        try {
          parseDevice([concatBytes(prefix)]);
        } catch (error) {
          expect(error).toMatchObject({ code: 'EBADMSG' });
        }
      }),
    );
  });

  test('reads what encodeDeviceChange() writes', () => {
    const key = fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .filter((bytes) => bytes.some((byte) => byte !== 0))
      .map(keyFromBytes);
    const ip = fc.oneof(
      ...FAMILIES.map((f) => fc.bigInt(0n, (1n << BigInt(addressBits(f))) - 1n).map((n) => ipFromNumber(f, n))),
    );
    const prefix = ip.chain((base) =>
      fc.nat(typeof base === 'bigint' ? 128 : 32).map((length) => prefixFrom(base, length)),
    );
    const peer = fc.record({
      publicKey: key,
      presharedKey: key,
      endpoint: fc.record({ address: ip, port: fc.nat(65535) }),
      keepalive: fc.nat(65535),
      allowedIps: fc.array(prefix, { maxLength: 5 }),
    });
    const device = fc.record({
      privateKey: key,
      listenPort: fc.nat(65535),
      fwmark: fc.nat(0xffff_ffff),
      peers: fc.uniqueArray(peer, { selector: ({ publicKey }) => publicKey, maxLength: 5 }),
    });
    fc.assert(
      fc.property(device, (change) => expect(parseDevice(messagesOf(change))).toMatchObject({ index: 7, ...change })),
    );
  });
});

function numbered(i: number): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes.set([1, i & 0xff, i >>> 8]);
  return bytes;
}

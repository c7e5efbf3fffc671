import { fromHex, SUCCESS, scriptedTransport, toHex } from '../testing/scripted-transport.ts';
import { Netlink } from './connection.ts';
import { activeFeatures, setFeature } from './features.ts';
import { findGenericFamily, GenericFamily } from './generic.ts';
import { NLMSG_ERROR } from './message.ts';

const hex = (text: string): string => text.replace(/\s+/g, '');

describe('findGenericFamily()', () => {
  // As Linux 6.18 answers for ethtool, shortened to the attributes that are read.
  const answer = fromHex('01020000  0c00 0200 6574 6874 6f6f 6c00  0600 0100 1500 0000  0800 0300 01000000');

  test('asks the controller for the number that goes with a name', () => {
    const transport = scriptedTransport(() => [[{ type: 0x10, payload: answer }], [SUCCESS]]);
    const family = findGenericFamily(new Netlink(transport), 'ethtool');
    expect(family).toMatchObject({ name: 'ethtool', id: 0x15, version: 1 });
    expect(transport.requests[0]!.type).toBe(0x10);
    expect(toHex(transport.requests[0]!.payload)).toBe(hex('03010000  0c00 0200 6574 6874 6f6f 6c00'));
    family.request({ command: 7, attributes: [fromHex('0400 0100')], operation: 'try' });
    expect(transport.requests[1]).toMatchObject({ type: 0x15 });
    expect(toHex(transport.requests[1]!.payload)).toBe(hex('07010000 0400 0100'));
    family.close();
    expect(transport.closed).toBe(true);
  });

  test('says that the kernel has no such family', () => {
    const payload = new Uint8Array(20);
    new DataView(payload.buffer).setInt32(0, -2, true);
    const nl = new Netlink(scriptedTransport(() => [[{ type: NLMSG_ERROR, payload }]]));
    expect(() => findGenericFamily(nl, 'wireguard')).toThrow(
      'Cannot find the generic netlink family wireguard: this kernel has none, and no module that brings it (ENOENT)',
    );
  });

  test.each([[[]], [[{ type: 0x10, payload: fromHex('0102') }]], [[{ type: 0x10, payload: fromHex('01020000') }]]])(
    'refuses an answer without a number: %j',
    (replies) => {
      const nl = new Netlink(scriptedTransport(() => [[...replies, SUCCESS]]));
      expect(() => findGenericFamily(nl, 'ethtool')).toThrow('(EBADMSG)');
    },
  );
});

describe('features', () => {
  test('setFeature() names one bit, with its value as a flag', () => {
    const transport = scriptedTransport();
    const ethtool = new GenericFamily(new Netlink(transport), 'ethtool', 0x15, 1);
    setFeature(ethtool, 3, 'tx-gro', false);
    setFeature(ethtool, 3, 'tx-gro', true);
    const request = (value: string, lengths: readonly string[]): string =>
      hex(`0c010000  0c00 0180 0800 0100 03000000
        ${lengths[0]} 0380 ${lengths[1]} 0380 ${lengths[2]} 0180  0b00 0200 74782d67726f0000 ${value}`);
    expect(transport.requests.map(({ payload }) => toHex(payload))).toEqual([
      request('', ['1800', '1400', '1000']),
      request('0400 0300', ['1c00', '1800', '1400']),
    ]);
  });

  test('activeFeatures() reads the names that the kernel lists', () => {
    const reply = fromHex(`0b010000  3c00 0480
      0400 0100  0800 0200 40000000  2c00 0380
        1400 0180 0800 0100 01000000 0500 0200 61000000
        1400 0180 0800 0100 02000000 0500 0200 62000000`);
    const ethtool = new GenericFamily(
      new Netlink(scriptedTransport(() => [[{ type: 0x15, payload: reply }], [SUCCESS]])),
      'ethtool',
      0x15,
      1,
    );
    expect([...activeFeatures(ethtool, 3)]).toEqual(['a', 'b']);
  });
});

import { EINVAL, EIO } from '@flannel-ts/linux/errno';
import { bytes, tcpPacket } from '../../../../../testing/engine/fast/flows.ts';
import { Fast, PEER } from '../../../../../testing/engine/fast/pair.ts';
import { segment } from '../../../../../testing/engine/fast/segment.ts';
import { internetChecksum, sumWords } from '../checksum.ts';
import { SELF_TEST } from '../shared.ts';
import { NO_ABILITIES } from './forwarder.ts';
import { testSegmentation } from './selftest.ts';

/** Two packets of a flow that may be merged. */
function arrive(fast: Fast): void {
  const packets = [0, 1000].map((sequence) =>
    tcpPacket({ from: '10.2.0.2', to: '10.1.0.2', sequence, data: bytes(1000) }),
  );
  fast.ports.written.length = 0;
  for (const packet of packets) fast.ports.socket.push({ sender: PEER, bytes: packet, size: 0 });
  fast.in();
}

test('testSegmentation() finds the datagrams as they were, on this kernel', () => {
  expect(testSegmentation()).toBe('passed');
});

describe('testDevice()', () => {
  test('writes super-packets that the kernel can cut into right packets for nobody', () => {
    const fast = new Fast();
    expect(fast.forwarder.testDevice()).toBe(true);
    const { written } = fast.ports;
    expect(written.map((super_) => segment(super_).length)).toEqual([3, 3, 4, 4]);
    for (const packet of written.flatMap(segment)) {
      expect(packet.subarray(16, 20)).toEqual(new Uint8Array(4));
      expect(internetChecksum(packet, 0, 20)).toBe(0);
      const length = packet.length - 20;
      expect((sumWords(packet, 12, packet.length - 12) + packet[9]! + length) % 0xffff).toBe(0);
    }
    expect(fast.counters).toMatchObject({
      offloadFallbacks: 0,
      abilities: { selfTest: SELF_TEST.passed, mergeTcp: 1 },
    });
    arrive(fast);
    expect(fast.ports.written).toHaveLength(1);
  });

  test('keeps to what the device takes', () => {
    const fast = new Fast();
    fast.ports.writeErrors.push(EINVAL);
    expect(fast.forwarder.testDevice()).toBe(true);
    const { offloadFallbacks, abilities } = fast.counters;
    expect(offloadFallbacks).toBe(1);
    expect(abilities).toMatchObject({ selfTest: SELF_TEST.failed, mergeTcp: 0, mergeUdp: 1 });
    arrive(fast);
    expect(fast.ports.written).toHaveLength(2);
  });

  test('is to be called again while the device is down', () => {
    const fast = new Fast();
    fast.ports.writeErrors.push(EIO);
    expect(fast.forwarder.testDevice()).toBe(false);
    expect(fast.counters.abilities).toMatchObject({ selfTest: SELF_TEST.none, mergeTcp: 1 });
    expect(fast.forwarder.testDevice()).toBe(true);
    expect(fast.counters.abilities.selfTest).toBe(SELF_TEST.passed);
  });

  test('has nothing to do without offloads', () => {
    const fast = new Fast(NO_ABILITIES);
    expect(fast.forwarder.testDevice()).toBe(true);
    expect(fast.ports.written).toEqual([]);
    expect(fast.counters.abilities.selfTest).toBe(SELF_TEST.none);
  });

  test('leaves a failure noted, whatever else passes', () => {
    const fast = new Fast();
    fast.forwarder.noteTest('failed');
    fast.forwarder.testDevice();
    expect(fast.counters.abilities.selfTest).toBe(SELF_TEST.failed);
  });
});

import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { EAGAIN } from '@flannel-ts/linux/errno';
import { bytes, tcpPacket } from '../../../../../testing/engine/fast/flows.ts';
import { ALL, PEER, tablesOf } from '../../../../../testing/engine/fast/pair.ts';
import { superPacket } from '../../../../../testing/engine/fast/segment.ts';
import { Control } from '../control.ts';
import * as layout from './assembly/layout.ts';
import { FastForwarder } from './forwarder.ts';
import type { Ports } from './ports.ts';
import type { Wasm } from './wasm.ts';

const SEGMENTS = 44;
const OUT = superPacket(tcpPacket({ data: bytes(SEGMENTS * 1420) }), 1420);
const IN = Uint8Array.from(
  Array.from({ length: SEGMENTS }, (_, i) =>
    Array.from(tcpPacket({ from: '10.2.0.2', to: '10.1.0.2', sequence: i * 1420, data: bytes(1420) })),
  ).flat(),
);

/** A device and a socket that have the same burst again and again, four times between two EAGAINs. */
function endlessPorts(wasm: Wasm): Ports {
  let reads = 0;
  let receives = 0;
  const message = new DataView(wasm.bytes.buffer, layout.RECEIVE_MESSAGES);
  const control = new DataView(wasm.bytes.buffer, layout.RECEIVE_CONTROLS);
  const name = new DataView(wasm.bytes.buffer, layout.RECEIVE_NAMES);
  return {
    sources: 1,
    readTun(at) {
      if (reads++ % 5 === 4) return EAGAIN;
      wasm.bytes.set(OUT, at);
      return OUT.length;
    },
    receive() {
      if (receives++ % 5 === 4) return EAGAIN;
      wasm.bytes.set(IN, layout.RECEIVE_SLOTS);
      message.setUint32(56, IN.length, true);
      message.setUint32(40, 24, true);
      name.setUint32(4, PEER);
      control.setUint32(8, 17, true);
      control.setUint32(12, 104, true);
      control.setUint32(16, IN.length / SEGMENTS, true);
      return 1;
    },
    send: (_source, _first, count) => count,
    sendOne: () => 0,
    sendTo: () => 0,
    writeTun: () => 0,
    writeTunVector: () => 0,
  };
}

/** How often the garbage collector runs during `action`. */
async function collections(action: () => void): Promise<number> {
  let seen = 0;
  const observer = new PerformanceObserver((list) => {
    seen += list.getEntries().length;
  });
  observer.observe({ entryTypes: ['gc'] });
  action();
  // Entries come some turns after the event.
  for (let turns = 0; turns < 20; turns++) await turn();
  observer.disconnect();
  return seen;
}

test('collections() sees what allocations cause', async () => {
  const allocate = (): void => {
    let kept: number[] = [];
    for (let i = 0; i < 5000; i++) kept = new Array(5000).fill(i);
    expect(kept).toHaveLength(5000);
  };
  expect(await collections(allocate)).toBeGreaterThan(0);
});

test('for a million packets each way the garbage collector never runs', async () => {
  const control = new Control();
  control.setRoutes([{ subnet: parsePrefix('10.2.0.0/24'), peer: PEER }]);
  const config = { tunAddress: parseIp('10.1.0.0'), mtu: 1472, port: parsePort(8285) };
  const forwarder = new FastForwarder(endlessPorts, config, ALL, tablesOf(control), () => 0);
  forwarder.refreshRoutes();
  const run = (packets: number): void => {
    for (let i = 0; i < packets / SEGMENTS / 4; i++) {
      forwarder.refreshRoutes();
      forwarder.egress.forward();
      for (let times = 0; times < 5; times++) forwarder.ingress.forward();
    }
  };
  run(200_000); // until V8 has compiled it
  // A collection that others have caused may fall into a go; of what allocates, none would be free of them.
  const counts: number[] = [];
  while (counts.length < 3 && counts.at(-1) !== 0) counts.push(await collections(() => run(1_000_000)));
  const { sentPackets, deliveredPackets, mergedWrites } = control.counters();
  expect([sentPackets, deliveredPackets].every((packets) => packets > 1_000_000)).toBe(true);
  expect(mergedWrites).toBeGreaterThan(20_000);
  expect(counts).toContain(0);
});

/** What the programs have counted, and how it adds to what the engine beside them counts. */
import { type BpfMap, indexKey, sumPerCpu } from '@flannel-ts/bpf/map';
import { type Ip, ipToBytes } from '@flannel-ts/inet/ip';
import type { DataPathCounters, PeerCounters } from '../datapath.ts';
import {
  COUNTERS,
  COUNTERS_BYTES,
  type CounterName,
  DROPPED,
  type DroppedInKernel,
  HANDED_OVER,
  type HandedOver,
  PEER,
} from './layout.ts';

export interface KernelCounters {
  readonly totals: Readonly<Record<CounterName, number>>;
  readonly peers: ReadonlyMap<Ip, Omit<PeerCounters, 'path'>>;
}

export function readCounters(totals: BpfMap, peers: BpfMap, addresses: Iterable<Ip>): KernelCounters {
  const sums = sumPerCpu(totals.lookup(indexKey(0))!, COUNTERS_BYTES);
  return {
    totals: Object.fromEntries(COUNTERS.map((name, index) => [name, sums[index]!])) as Record<CounterName, number>,
    peers: new Map(
      [...addresses].flatMap((address) => {
        const value = peers.lookup(ipToBytes(address));
        return value === undefined ? [] : [[address, peerCounters(value)] as const];
      }),
    ),
  };
}

function peerCounters(value: Uint8Array): Omit<PeerCounters, 'path'> {
  const [sentPackets, sentBytes, receivedPackets, receivedBytes] = sumPerCpu(value, PEER.bytes) as [
    number,
    number,
    number,
    number,
  ];
  return { sentPackets, sentBytes, receivedPackets, receivedBytes };
}

/** By reason, both directions together; those that are 0 are left out. */
export function handedOver({ totals }: KernelCounters): Partial<Record<HandedOver, number>> {
  const entries = HANDED_OVER.map((reason) => [reason, totals[`out ${reason}`] + totals[`in ${reason}`]] as const);
  return Object.fromEntries(entries.filter(([, packets]) => packets > 0));
}

/** What both have done together, under the names that the engine's counters have alone. */
export function addCounters(engine: DataPathCounters, { totals, peers }: KernelCounters): DataPathCounters {
  const inKernel = (reason: DroppedInKernel): number => totals[`dropped ${reason}`];
  const dropped: Record<string, number> = { ...engine.dropped };
  for (const reason of DROPPED) dropped[reason] = (dropped[reason] ?? 0) + inKernel(reason);
  const all = new Map<Ip, PeerCounters>();
  for (const [address, own] of engine.peers) {
    const kernel = peers.get(address);
    all.set(address, kernel === undefined ? own : { ...sum(own, kernel), path: own.path });
  }
  const received = totals.deliveredPackets + inKernel('write_failed') + inKernel('congested');
  return {
    ...engine,
    dropped,
    tunPackets: engine.tunPackets + totals.sentPackets + inKernel('send_failed'),
    tunBytes: engine.tunBytes + totals.sentBytes,
    socketPackets: engine.socketPackets + received,
    socketBytes: engine.socketBytes + totals.deliveredBytes,
    sentPackets: engine.sentPackets + totals.sentPackets,
    sentBytes: engine.sentBytes + totals.sentBytes,
    deliveredPackets: engine.deliveredPackets + totals.deliveredPackets,
    deliveredBytes: engine.deliveredBytes + totals.deliveredBytes,
    superPackets: engine.superPackets + totals.superPackets,
    peers: all,
  };
}

type Counted = Omit<PeerCounters, 'path'>;

function sum(a: Counted, b: Counted): Counted {
  return {
    sentPackets: a.sentPackets + b.sentPackets,
    sentBytes: a.sentBytes + b.sentBytes,
    receivedPackets: a.receivedPackets + b.receivedPackets,
    receivedBytes: a.receivedBytes + b.receivedBytes,
  };
}

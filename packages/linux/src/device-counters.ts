/** What the kernel has counted of a network device. They begin anew with the device. */
import { readTextFile } from './text-files.ts';

export interface DeviceCounters {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
  /** Of those to be sent: for a TUN device, because its queue was full. */
  readonly sendDropped: number;
}

/**
 * Of a device of this thread's namespace; undefined when there is no such device. Not from /sys, which shows the namespace that it
 * was mounted in.
 */
export function deviceCounters(device: string): DeviceCounters | undefined {
  return parseDeviceCounters(readTextFile('/proc/thread-self/net/dev'), device);
}

/** Packets that the kernel dropped instead of giving them to the device. */
export function transmitDrops(device: string): number | undefined {
  return deviceCounters(device)?.sendDropped;
}

/** Behind a device's name are 8 fields of what it received, and 8 of what it sent: bytes, packets, errors, drops, ... */
export function parseDeviceCounters(table: string, device: string): DeviceCounters | undefined {
  const line = table.split('\n').find((each) => each.trimStart().startsWith(`${device}:`));
  const fields = line
    ?.slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/)
    .map(Number);
  if (fields === undefined || fields.length < 12) return undefined;
  const [receivedBytes, receivedPackets, , , , , , , sentBytes, sentPackets, , sendDropped] = fields as number[];
  return {
    receivedBytes: receivedBytes!,
    receivedPackets: receivedPackets!,
    sentBytes: sentBytes!,
    sentPackets: sentPackets!,
    sendDropped: sendDropped!,
  };
}

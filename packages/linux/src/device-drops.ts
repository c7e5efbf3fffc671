import { readTextFile } from './text-files.ts';

/** Of the fields behind a device's name in /proc/net/dev: 8 of what it received, then bytes, packets, errors and drops. */
const TRANSMIT_DROPS = 8 + 3;

/**
 * Packets that the kernel dropped instead of giving them to a network device of this thread's namespace: for a TUN device, because
 * its queue was full. Undefined when there is no such device. Not /sys, which shows the namespace that it was mounted in.
 */
export function transmitDrops(device: string): number | undefined {
  return parseTransmitDrops(readTextFile('/proc/thread-self/net/dev'), device);
}

export function parseTransmitDrops(table: string, device: string): number | undefined {
  const line = table.split('\n').find((each) => each.trimStart().startsWith(`${device}:`));
  const drops = line
    ?.slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/)[TRANSMIT_DROPS];
  return drops === undefined ? undefined : Number(drops);
}

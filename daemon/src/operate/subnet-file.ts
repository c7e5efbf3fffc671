/** subnet.env: read for the subnet this node had before, written for the CNI plugin, and kept as it should be. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { LeaseSubnets } from '@flannel-ts/flannel/lease';
import { formatSubnetEnv, parseSubnetEnv, type SubnetEnv } from '@flannel-ts/flannel/subnet-env';
import { interfacePrefix, type Prefix } from '@flannel-ts/inet/prefix';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { writeFileAtomically } from '../atomic-file.ts';
import { messageOf } from '../errors.ts';

/** Undefined when there is no file or it is of no use: that only costs the old subnet. */
export function readPreviousSubnets(file: string, log: Logger): Partial<LeaseSubnets> | undefined {
  const text = readText(file);
  if (text === undefined) return undefined;
  try {
    const { subnet, ipv6Subnet } = parseSubnetEnv(text, file);
    return {
      ...(subnet && { subnet: interfacePrefix(subnet) }),
      ...(ipv6Subnet && { ipv6Subnet: interfacePrefix(ipv6Subnet) }),
    };
  } catch (error) {
    log.warn(`The subnet used before is not known: ${messageOf(error)}`);
    return undefined;
  }
}

/** The networks that this node was in when the file was written; none when there is no file that can be read. */
export function readPreviousNetworks(file: string): Prefix[] {
  try {
    const { networks, ipv6Networks } = parseSubnetEnv(readText(file) ?? '', file);
    return [...networks, ...ipv6Networks];
  } catch {
    return [];
  }
}

/** As readPreviousNetworks(), but throws INVALID_SUBNET_ENV for a file that is there and does not say it. */
export function requirePreviousNetworks(file: string): Prefix[] {
  if (!existsSync(file)) return [];
  const { networks, ipv6Networks } = parseSubnetEnv(readFileSync(file, 'utf8'), file);
  return [...networks, ...ipv6Networks];
}

/** Removes a file that names other subnets or networks than these: a pod started by it would get an address of another node. */
export function removeStaleSubnetFile(file: string, now: SubnetEnv, log: Logger): void {
  const text = readText(file);
  if (text === undefined || placeOf(text, file) === placeOf(formatSubnetEnv(now), file)) return;
  rmSync(file, { force: true });
  log.info({ file }, 'Removed the subnet file of an earlier lease');
}

/** Everything but MTU and masquerading, as text. */
function placeOf(text: string, file: string): string | undefined {
  try {
    return formatSubnetEnv({ ...parseSubnetEnv(text, file), mtu: 0, ipMasq: false });
  } catch {
    return undefined;
  }
}

/** Mode 0644, since the plugin may run as another user (flannel: renameio). */
export function writeSubnetFile(file: string, text: string): void {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`);
  writeFileAtomically(file, text, { mode: 0o644, temporary });
}

/**
 * Keeps the file as it should be until the signal aborts: without it no pod starts on this node, which is what flannel's
 * users report most.
 */
export async function keepSubnetFile(
  file: string,
  wanted: () => string,
  report: (trouble: string | undefined) => void,
  log: Logger,
  signal: AbortSignal,
  everyMs = 2000,
): Promise<void> {
  let last: string | undefined = '';
  while (!signal.aborted) {
    let trouble: string | undefined;
    try {
      const text = wanted();
      if (readText(file) !== text) {
        writeSubnetFile(file, text);
        log.info({ file }, 'Wrote the subnet file');
      }
    } catch (error) {
      trouble = messageOf(error);
      if (trouble !== last) log.error(`Cannot keep the subnet file: ${trouble}`);
    }
    last = trouble;
    report(trouble);
    await sleep(everyMs, signal);
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // whatever the reason, writing will report it
  }
}

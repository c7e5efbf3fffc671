/**
 * Kernel parameters without which pods' packets stop, watched and put right: a sysctl.d file that is read late, or a program
 * that hardens the host, turns forwarding off and nothing says so (openshift/origin 9931).
 */
import { isErrno } from '@flannel-ts/linux/errors';
import type { Logger } from 'pino';
import { sleep } from '../abort.ts';
import { messageOf } from '../errors.ts';

/** A path below /proc/sys and its value. */
export interface Precondition {
  readonly parameter: string;
  readonly value: string;
  /** Of the link that it is a parameter of: one that is made anew has the kernel's values, which nobody has set. */
  readonly index?: number | undefined;
  /** Done before it is set; what it needs on other interfaces. */
  readonly before?: () => void;
}

export interface NamedLink {
  readonly name: string;
  readonly index: number;
}

export interface ForwardingFacts {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** The overlay's devices, the interface to other nodes, the bridge of pods, as far as they exist. */
  readonly links: readonly NamedLink[];
  /** The overlay's devices. */
  readonly own: readonly NamedLink[];
}

/** Setting the first of a family sets it on all interfaces, so the others come after it. Pure. */
export function forwardingPreconditions({ ipv4, ipv6, links, own }: ForwardingFacts): Precondition[] {
  const on = (parameter: string): Precondition => ({ parameter, value: '1' });
  return [
    ...(ipv4 ? [on('net/ipv4/ip_forward')] : []),
    ...(ipv4 ? links.map(({ name, index }) => ({ ...on(`net/ipv4/conf/${name}/forwarding`), index })) : []),
    // The engine's ICMP errors have this node's own address as source; they would be martians (ip-sysctl.rst).
    ...(ipv4 ? own.map(({ name, index }) => ({ ...on(`net/ipv4/conf/${name}/accept_local`), index })) : []),
    ...(ipv6
      ? own.map(({ name, index }) => ({ parameter: `net/ipv6/conf/${name}/disable_ipv6`, value: '0', index }))
      : []),
    ...(ipv6 ? [on('net/ipv6/conf/all/forwarding')] : []),
    ...(ipv6 ? links.map(({ name, index }) => ({ ...on(`net/ipv6/conf/${name}/forwarding`), index })) : []),
  ];
}

export interface PreconditionParts {
  readonly wanted: () => readonly Precondition[];
  readonly read: (parameter: string) => string;
  readonly write: (parameter: string, value: string) => unknown;
  readonly now: () => number;
  /** Cannot be put right: why pods' packets stop. */
  readonly report: (trouble: string | undefined) => void;
  /** Is put right again and again. */
  readonly note: (text: string | undefined) => void;
  readonly log: Logger;
}

/** So often within so long: somebody works against us. */
const OFTEN = 3;
const OFTEN_MS = 600_000;

/** Compares and sets; made once, called every few seconds. */
export class PreconditionCheck {
  private restored: { readonly parameter: string; readonly at: number }[] = [];
  /** Parameters that were as they should be, and of which link. */
  private readonly kept = new Map<string, number | undefined>();
  private lastTrouble: string | undefined;
  /** How often a parameter had to be set after the start. */
  restorations = 0;

  constructor(private readonly parts: PreconditionParts) {}

  run(): void {
    const { report, log } = this.parts;
    const troubles = this.parts.wanted().flatMap((wanted) => this.ensure(wanted) ?? []);
    const trouble = troubles.length > 0 ? troubles.join('; ') : undefined;
    if (trouble !== undefined && trouble !== this.lastTrouble) log.error(trouble);
    this.lastTrouble = trouble;
    report(trouble);
    this.noteRepeated();
  }

  /** Why it is not so; undefined: it is. */
  private ensure({ parameter, value, index, before }: Precondition): string | undefined {
    const { read, write, log } = this.parts;
    const name = parameter.slice('net/'.length).replaceAll('/', '.');
    let found: string | undefined;
    try {
      found = read(parameter);
      if (found === value) {
        this.kept.set(parameter, index);
        return undefined;
      }
      before?.();
      write(parameter, value);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined; // no such interface now, or no such family
      return `Cannot set net.${name} to ${value} (it is ${found ?? 'not readable'}), without which pods are cut off: set it with "sysctl -w net.${name}=${value}" where it can be written: ${messageOf(error)}`;
    }
    const wasKept = this.kept.has(parameter);
    const isSameLink = this.kept.get(parameter) === index;
    this.kept.set(parameter, index);
    if (wasKept && isSameLink) this.countRestored(name, value, found);
    else log[wasKept ? 'debug' : 'info'](`Set net.${name} to ${value}, it was ${found}`);
    return undefined;
  }

  private countRestored(name: string, value: string, found: string): void {
    const { log, now } = this.parts;
    this.restorations++;
    this.restored = this.restored.filter(({ at }) => now() - at < OFTEN_MS);
    this.restored.push({ parameter: name, at: now() });
    const times = this.restored.filter(({ parameter }) => parameter === name).length;
    if (times <= OFTEN) log.warn(`Somebody set net.${name} to ${found}, which cuts pods off: set it to ${value} again`);
  }

  private noteRepeated(): void {
    const { note, now } = this.parts;
    const counts = new Map<string, number>();
    for (const { parameter, at } of this.restored) {
      if (now() - at < OFTEN_MS) counts.set(parameter, (counts.get(parameter) ?? 0) + 1);
    }
    const repeated = [...counts].filter(([, count]) => count >= OFTEN);
    note(
      repeated.length === 0
        ? undefined
        : `another program sets ${repeated.map(([name, count]) => `net.${name} (${count} times)`).join(', ')} again and again within ${OFTEN_MS / 60_000} minutes, and pods are cut off for a moment each time: find it, for example in /etc/sysctl.d`,
    );
  }
}

const EVERY_MS = 2000;

export async function keepPreconditions(check: PreconditionCheck, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    check.run();
    await sleep(EVERY_MS, signal);
  }
}

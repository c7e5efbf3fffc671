/** A network namespace of a test's own, a connection into it, and ip(8) in it as the witness. */
import { execFileSync } from 'node:child_process';
import { createNetns, deleteNetns } from '@flannel-ts/linux/netns';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';

// A namespace is made only after the kernel has cleaned up those that went before, which takes seconds if they were full.
jest.setTimeout(60_000);

export interface Lab {
  readonly netns: string;
  readonly nl: Netlink;
  /** `ip -j -d ARGS` in the namespace. */
  ip<T = Record<string, unknown>>(...args: string[]): T[];
  /** `bridge -j -d ARGS` in the namespace. */
  bridge<T = Record<string, unknown>>(...args: string[]): T[];
  /** A command in the namespace that prints nothing of interest. */
  run(...command: string[]): void;
  close(): void;
}

let count = 0;

export function openLab(topic: string): Lab {
  const netns = `/run/netns/fltest-${process.pid}-${topic}-${count++}`;
  createNetns(netns);
  const inside = (command: string[]): string =>
    execFileSync('nsenter', [`--net=${netns}`, ...command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const nl = openNetlink({ netns });
    return {
      netns,
      nl,
      ip: (...args) => parseJson(inside(['ip', '-j', '-d', ...args])),
      bridge: (...args) => parseJson(inside(['bridge', '-j', '-d', ...args])),
      run: (...command) => void inside(command),
      close: () => {
        nl.close();
        deleteNetns(netns);
      },
    };
  } catch (error) {
    deleteNetns(netns);
    throw error;
  }
}

/** ip(8) prints nothing at all for an empty list in some cases, and empty objects for what it filtered out. */
function parseJson<T>(text: string): T[] {
  const list: T[] = text.trim() === '' ? [] : JSON.parse(text);
  return list.filter((item) => Object.keys(item as object).length > 0);
}

/** The error that `action` throws, for its code and text. */
export function errorOf(action: () => unknown): Error & { code?: string } {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not fail');
}

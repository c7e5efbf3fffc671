/** Mounts of their own for resident processes of the CNI plugin: with the directory that allows them, and nobody else's in it. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** As in cni/src/resident/place.ts. */
const DIRECTORY = '/run/flannel/cni';

export interface ResidentMounts {
  /** What to write before a command. */
  readonly enter: readonly string[];
  /** Where the sockets are, seen from outside. */
  readonly directory: string;
  /** Blocks until the resident process of this network namespace (its inode) listens, and returns its pid. */
  await(netns: string): number;
  end(netns: string): void;
}

/** They last as long as `owner` is there. */
export function startMounts(owner: string): ResidentMounts {
  const ready = path.join(owner, 'mounts-ready');
  // Whoever holds them open ends by itself when its owner's directory has gone, also after a test that was killed.
  const inner = `mkdir -p /run/flannel && mount -t tmpfs none /run/flannel && mkdir -m 700 ${DIRECTORY} &&
    touch '${ready}' && while [ -e '${ready}' ]; do sleep 1; done`;
  const outer = `unshare --mount --propagation slave sh -c "$0" >'${owner}/mounts-log' 2>&1 & echo $!`;
  const pid = Number(execFileSync('sh', ['-c', outer, inner], { encoding: 'utf8' }));
  blockUntil(`mounts for resident processes`, () => existsSync(ready));
  const directory = `/proc/${pid}/root${DIRECTORY}`;
  return {
    enter: ['nsenter', `--mount=/proc/${pid}/ns/mnt`],
    directory,
    await: (netns) => {
      const [name] = blockUntil(`a resident process for ${netns}`, () => {
        const names = readdirSync(directory).filter((name) => name.startsWith(`net:[${netns}]`));
        return names.length === 2 && names;
      });
      return pidIn(path.join(directory, `${name!.replace(/\.lock$/, '')}.lock`));
    },
    end: (netns) => {
      for (const name of readdirSync(directory)) {
        if (!name.startsWith(`net:[${netns}]`) || !name.endsWith('.lock')) continue;
        endProcess(pidIn(path.join(directory, name)));
      }
    },
  };
}

function pidIn(lock: string): number {
  return Number(blockUntil(`a pid in ${lock}`, () => readFileSync(lock, 'utf8').trim()));
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function blockUntil<T>(what: string, look: () => T | undefined | false | ''): T {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within a minute`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

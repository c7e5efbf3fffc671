import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { closeFd, LOCK_EX, O_CREAT, O_RDONLY, O_TRUNC, openFile } from '@flannel-ts/linux/files';
import { flockWithin } from '@flannel-ts/linux/flock-within';
import {
  isDirectory,
  readTextFile,
  sameFile,
  statFile,
  unlinkFile,
  writeNewFile,
  writeTextFile,
} from '@flannel-ts/linux/text-files';
import type { Deadline } from '../deadline.ts';
import { CniError, codeOf, ErrorCode } from '../errors.ts';
import { makeDirectories, nodeFs } from '../files.ts';
import { readIp } from './address.ts';

/**
 * host-local's directory, byte for byte, so that both plugins can work on one store at the same time and a node can change
 * over in place and back:
 *
 *   <dataDir>/<network>/10.1.2.3            "<containerID>\r\n<ifname>", made with O_EXCL
 *   <dataDir>/<network>/last_reserved_ip.0  last address given out of range set 0
 *   <dataDir>/<network>/lock                flock(2) held around every operation
 *
 * An empty file under the lock belongs to nobody: host-local was killed before it wrote, or the power failed before the data came to
 * the disk. It is taken as free. Nothing is synced: what a power cut undoes belonged to containers that have gone with it, and what
 * it brings back is found by the first ADD after the boot (after-boot.ts).
 */
export interface Owner {
  readonly containerId: string;
  readonly ifName: string;
}

const LOCK_FILE = 'lock';
const LAST_RESERVED = 'last_reserved_ip.';
/** Below this many occupied addresses in a row, trying each is cheaper than listing the directory. */
const TRIES_BEFORE_LISTING = 16;
/** 100 plugins at once on a node that is busy anyway wait for more than 10 s. */
export const LOCK_TIMEOUT_MS = 30_000;

export class Store {
  readonly #lastTexts = new Map<number, string>();

  constructor(
    readonly directory: string,
    private readonly deadline: Pick<Deadline, 'within'> = { within: (limit) => limit },
    private readonly lockTimeoutMs = LOCK_TIMEOUT_MS,
  ) {}

  /** Runs `work` with the lock held. Throws code 11 when somebody else keeps it too long. */
  locked<T>(work: () => T): T {
    const fd = this.#lock();
    try {
      return work();
    } finally {
      closeFd(fd);
    }
  }

  exists(): boolean {
    try {
      return isDirectory(statFile(this.directory));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /** Takes the first free address of `wanted`. Call with the lock held. */
  reserveFirst<T extends { readonly ip: Ip }>(wanted: Iterable<T>, owner: Owner): T | undefined {
    let tries = 0;
    let occupied: ReadonlySet<string> | undefined;
    const skipped: T[] = [];
    for (const candidate of wanted) {
      if (tries++ === TRIES_BEFORE_LISTING) occupied = this.names();
      if (occupied?.has(formatIp(candidate.ip))) skipped.push(candidate);
      else if (this.reserve(candidate.ip, owner)) return candidate;
    }
    // Only now is it worth while to look for empty files among those that the listing named.
    return skipped.find((candidate) => this.reserve(candidate.ip, owner));
  }

  /** Takes this address; false if somebody has it. Call with the lock held. */
  reserve(ip: Ip, owner: Owner): boolean {
    const path = this.#path(formatIp(ip));
    try {
      this.#create(path, owner);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (!isAbandoned(readIfPresent(path))) return false;
      unlinkIfPresent(path);
      this.#create(path, owner);
    }
    return true;
  }

  #create(path: string, owner: Owner): void {
    try {
      writeNewFile(path, ownerText(owner), 0o600);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') unlinkIfPresent(path); // the disk is full: half a file is a leak
      throw error;
    }
  }

  /** Gives back an address if it is this owner's. Call with the lock held. */
  release(ip: Ip, owner: Owner): boolean {
    const path = this.#path(formatIp(ip));
    if (!isOwnedBy(readIfPresent(path), owner)) return false;
    unlinkFile(path);
    return true;
  }

  /** Whether this address is this owner's: one file read. */
  holds(ip: Ip, owner: Owner): boolean {
    return isOwnedBy(readIfPresent(this.#path(formatIp(ip))), owner);
  }

  /**
   * All addresses of this owner. Reads every file of the directory (as host-local does each time), so it is for the cases
   * where no better knowledge exists. Empty files found on the way are removed. Call with the lock held.
   */
  find(owner: Owner): Ip[] {
    const exact: Ip[] = [];
    const old: Ip[] = [];
    for (const name of nodeFs().readdirSync(this.directory)) {
      const ip = readIp(name);
      if (ip === undefined) continue;
      const content = readIfPresent(this.#path(name));
      if (isAbandoned(content)) unlinkIfPresent(this.#path(name));
      else if (content?.trim() === ownerText(owner)) exact.push(ip);
      else if (content?.trim() === owner.containerId) old.push(ip);
    }
    // Files of host-local before 0.8 hold the container ID alone.
    return exact.length > 0 ? exact : old;
  }

  /** Every address that somebody holds. Reads every file; call with the lock held. */
  holdings(): { readonly ip: Ip; readonly owner: Owner }[] {
    return nodeFs()
      .readdirSync(this.directory)
      .flatMap((name) => {
        const ip = readIp(name);
        if (ip === undefined) return [];
        const [containerId, ifName] = readIfPresent(this.#path(name))?.trim().split('\r\n') ?? [];
        return containerId && ifName ? { ip, owner: { containerId, ifName } } : [];
      });
  }

  /** Everybody who holds an address. As holdings(). */
  owners(): Owner[] {
    return this.holdings().map(({ owner }) => owner);
  }

  /** Names in the directory; addresses among them are taken. */
  names(): ReadonlySet<string> {
    return new Set(nodeFs().readdirSync(this.directory));
  }

  /** The last address given out of a range set; undefined if unknown, unreadable or nonsense. */
  lastReserved(setIndex: number): Ip | undefined {
    const text = readIfPresent(this.#path(`${LAST_RESERVED}${setIndex}`)) ?? '';
    this.#lastTexts.set(setIndex, text);
    return readIp(text.trim());
  }

  /**
   * Written over what was there unless that is longer: ext4 flushes a file to disk that was cut to nothing and written anew
   * (auto_da_alloc), and that takes as long as all the rest of an allocation.
   */
  setLastReserved(setIndex: number, ip: Ip): void {
    const text = formatIp(ip);
    const before = this.#lastTexts.get(setIndex);
    const covers = before !== undefined && before.length <= text.length;
    writeTextFile(this.#path(`${LAST_RESERVED}${setIndex}`), text, O_CREAT | (covers ? 0 : O_TRUNC), 0o600);
    this.#lastTexts.set(setIndex, text);
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }

  #lock(): number {
    const path = this.#path(LOCK_FILE);
    const limit = this.deadline.within(this.lockTimeoutMs, `wait for the lock of ${this.directory}`);
    const end = performance.now() + limit;
    for (;;) {
      const fd = this.#openLock(path);
      try {
        const got = flockWithin(fd, LOCK_EX, end - performance.now());
        if (got && isStillAt(fd, path)) return fd;
        if (!got) throw this.#stayedLocked(path, limit);
      } catch (error) {
        closeFd(fd);
        throw error;
      }
      closeFd(fd); // somebody removed the file while we waited: our lock would exclude nobody
    }
  }

  #stayedLocked(path: string, ms: number): CniError {
    return new CniError(
      ErrorCode.tryAgainLater,
      `the address store ${this.directory} stayed locked by another process for ${ms} ms`,
      `find the process that holds ${path} (fuser ${path})`,
    );
  }

  #openLock(path: string): number {
    try {
      return openFile(path, O_RDONLY | O_CREAT, 0o750);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      makeDirectories(this.directory, 0o755);
      return openFile(path, O_RDONLY | O_CREAT, 0o750);
    }
  }
}

function ownerText(owner: Owner): string {
  return `${owner.containerId}\r\n${owner.ifName}`;
}

function isOwnedBy(content: string | undefined, owner: Owner): boolean {
  const text = content?.trim();
  return text === ownerText(owner) || text === owner.containerId;
}

function isStillAt(fd: number, path: string): boolean {
  try {
    return sameFile(statFile(fd), statFile(path));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Empty, or the zeros that some file systems leave in place of data that did not come to the disk. */
function isAbandoned(content: string | undefined): boolean {
  return content === undefined || content === '' || content.startsWith('\0');
}

function unlinkIfPresent(path: string): void {
  try {
    unlinkFile(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readTextFile(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'EISDIR') return path; // occupied, and nobody's
    throw error;
  }
}

import { closeFd, type Fd, O_CREAT, O_RDWR, openFile, pread, pwrite } from '@flannel-ts/linux/files';
import type { Owner } from './ipam/store.ts';
import { hash } from './names.ts';

/**
 * Which attachments a DEL has found or made gone, for some minutes. Runtimes send up to three DELs for a container, and without this
 * the second would read every address file, as host-local does, to find nothing. One file of fixed size beside subnet.env, which a
 * boot empties; a slot that is overwritten costs that reading.
 */
const SLOTS = 1024;
/** The hash, and when it was written, as float64 each. */
const SLOT_BYTES = 16;
/** Names may come back: cnitool makes the container ID from the path of the namespace. */
const VALID_MS = 10 * 60_000;

export class Deleted {
  readonly #file: string;

  constructor(subnetFile: string) {
    this.#file = `${subnetFile.slice(0, subnetFile.lastIndexOf('/'))}/cni-deleted`;
  }

  has(network: string, owner: Owner): boolean {
    return this.#open(false, (fd) => isNoted(readSlot(fd, keyOf(network, owner)), keyOf(network, owner))) ?? false;
  }

  note(network: string, owner: Owner): void {
    const key = keyOf(network, owner);
    this.#open(true, (fd) => writeSlot(fd, key, key, Date.now()));
  }

  /** Before an ADD takes anything. */
  forget(network: string, owner: Owner): void {
    const key = keyOf(network, owner);
    this.#open(false, (fd) => {
      if (readSlot(fd, key)[0] === key) writeSlot(fd, key, 0, 0);
    });
  }

  /** Undefined when there is no file: nothing depends on it but time. */
  #open<T>(create: boolean, use: (fd: Fd) => T): T | undefined {
    let fd: Fd;
    try {
      fd = openFile(this.#file, O_RDWR | (create ? O_CREAT : 0), 0o600);
    } catch {
      return undefined;
    }
    try {
      return use(fd);
    } finally {
      closeFd(fd);
    }
  }
}

function keyOf(network: string, { containerId, ifName }: Owner): number {
  return hash(`${network}/${containerId}:${ifName}`);
}

function isNoted([found, time]: readonly [number, number], key: number): boolean {
  const age = Date.now() - time;
  return found === key && age >= 0 && age <= VALID_MS;
}

function readSlot(fd: Fd, key: number): readonly [number, number] {
  const bytes = new Uint8Array(SLOT_BYTES);
  pread(fd, bytes, (key % SLOTS) * SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  return [view.getFloat64(0), view.getFloat64(8)];
}

function writeSlot(fd: Fd, at: number, key: number, time: number): void {
  const bytes = new Uint8Array(SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, key);
  view.setFloat64(8, time);
  pwrite(fd, bytes, (at % SLOTS) * SLOT_BYTES);
}

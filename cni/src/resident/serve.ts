import { stringifyExactJson } from '@flannel-ts/flannel/exact-json';
import { closeFd, type Fd, pwrite, setInheritable } from '@flannel-ts/linux/files';
import { POLLIN, pollFds } from '@flannel-ts/linux/poll';
import { sockaddrUn } from '@flannel-ts/linux/sockaddr';
import {
  AF_UNIX,
  accept,
  bind,
  listen,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  sendTo,
  socket,
} from '@flannel-ts/linux/socket';
import { type FileStatus, sameFile, statFile, unlinkFile } from '@flannel-ts/linux/text-files';
import { Attachments } from '../attachments.ts';
import { answerCall } from '../call.ts';
import { codeOf } from '../errors.ts';
import { removeOrphans } from '../orphans.ts';
import { LOCK_FD } from './arguments.ts';
import { isBrief } from './brief.ts';
import { GO, MOST_BYTES, MOST_TEXT, PATIENCE, READY, readMessage, TEXT, WRITTEN } from './message.ts';
import { Surroundings } from './peer.ts';
import { OWN_PROGRAM, OWN_SUBNET_FILE, residentSocket } from './place.ts';

/** Its memory is not worth it where pods come and go so seldom. */
const IDLE_MS = 10 * 60_000;
/** How soon it sees that it is no longer wanted. */
const LOOK_MS = 5000;
/** Launchers go away after two seconds of silence. */
const PATIENCE_MS = 500;
/** Of a launcher, between READY and GO. */
const GO_MS = 1000;
/** Of one that prints, which is over at once unless a pipe is full. */
const PRINT_MS = 5000;
const MOST_CONNECTIONS = 256;
/** Whatever a long life may leave in the heap. */
const MOST_CALLS = 20_000;
/** Looking for orphans, between calls. */
const SWEEP_MS = 5 * 60_000;
const QUIET_MS = 2000;
const PID_LETTERS = 10;

/**
 * Answers the launchers' calls, one after another, until nobody comes or the program has been replaced. It does exactly what the plugin
 * does in a process of its own; whoever finds it busy, stopped or gone starts one.
 */
export function serve(): number {
  const path = residentSocket();
  if (path === undefined) return 1;
  setInheritable(LOCK_FD, false);
  writePid();
  const resident = new Resident(path);
  try {
    while (!resident.isOver()) resident.answer();
    return 0;
  } finally {
    resident.close();
  }
}

class Resident {
  readonly #surroundings = new Surroundings();
  readonly #program = programOf();
  readonly #listener: Fd;
  readonly #socketFile: FileStatus;
  #connections: Fd[] = [];
  #calls = 0;
  #lastCall = performance.now();
  #lastLook = performance.now();
  #nextSweep = 0;

  constructor(private readonly path: string) {
    this.#listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK);
    removeFile(path); // of one that was killed: the lock is ours
    bind(this.#listener, sockaddrUn(path));
    listen(this.#listener, MOST_CONNECTIONS);
    this.#socketFile = statFile(path);
  }

  isOver(): boolean {
    const now = performance.now();
    if (this.#calls >= MOST_CALLS || now - this.#lastCall > IDLE_MS) return true;
    if (now - this.#lastLook < LOOK_MS) return false;
    this.#lastLook = now;
    if (now >= this.#nextSweep && now - this.#lastCall > QUIET_MS) {
      this.#nextSweep = now + SWEEP_MS;
      sweep();
    }
    return !isStill(this.path, this.#socketFile) || !isStill(process.execPath, this.#program);
  }

  /** Waits for calls, and answers those that have come. */
  answer(): void {
    const entries = [this.#listener, ...this.#connections].map((fd) => ({ fd, events: POLLIN }));
    const [ofListener, ...events] = pollFds(entries, LOOK_MS);
    const ready = this.#connections.filter((_fd, i) => events[i] !== 0);
    this.#connections = this.#connections.filter((_fd, i) => events[i] === 0);
    let lastWord = performance.now();
    for (const [i, connection] of ready.entries()) {
      if (performance.now() - lastWord > PATIENCE_MS) {
        lastWord = performance.now();
        for (const waiting of ready.slice(i)) askForPatience(waiting);
      }
      try {
        this.#serve(connection);
      } catch {
        // The launcher has gone, or the process behind it. It hears nothing, and goes on by itself.
      } finally {
        closeFd(connection);
      }
    }
    if (ofListener !== 0) this.#acceptAll();
  }

  #acceptAll(): void {
    while (this.#connections.length < MOST_CONNECTIONS) {
      try {
        this.#connections.push(accept(this.#listener, SOCK_NONBLOCK));
      } catch {
        return; // EAGAIN: no more
      }
    }
  }

  #serve(connection: Fd): void {
    const message = new Uint8Array(MOST_BYTES);
    try {
      const request = readMessage(message.subarray(0, recv(connection, message, MSG_DONTWAIT)));
      const place = this.#surroundings.callerAt(connection);
      if (request === undefined || place === undefined) return;
      process.chdir(place);
      if (!isBrief(request) || !isWanted(connection)) return;
      const { argv0, env, stdin } = request;
      const code = answerCall({ argv0, env, readStdin: () => stdin, write: (text) => print(connection, text) });
      sendTo(connection, Uint8Array.of(code), MSG_NOSIGNAL);
    } finally {
      this.#lastCall = performance.now();
      this.#calls++;
      process.chdir('/');
    }
  }

  close(): void {
    removeFile(this.path);
    for (const fd of [this.#listener, ...this.#connections]) closeFd(fd);
  }
}

function askForPatience(connection: Fd): void {
  try {
    sendTo(connection, Uint8Array.of(PATIENCE), MSG_NOSIGNAL | MSG_DONTWAIT);
  } catch {
    // It has gone.
  }
}

/** From here on the launcher relies on us: before, it starts the plugin itself when it hears nothing. */
function isWanted(connection: Fd): boolean {
  sendTo(connection, Uint8Array.of(READY), MSG_NOSIGNAL);
  return receiveByte(connection, GO_MS) === GO;
}

/** By the launcher: what it cannot print, or nobody is there to print, is an error here. */
function print(connection: Fd, text: string): void {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > MOST_TEXT) throw new Error(`the answer has ${bytes.length} bytes`);
  sendTo(connection, Uint8Array.of(TEXT, ...bytes), MSG_NOSIGNAL);
  if (receiveByte(connection, PRINT_MS) !== WRITTEN) throw new Error('nobody reads it');
}

function receiveByte(connection: Fd, ms: number): number | undefined {
  pollFds([{ fd: connection, events: POLLIN }], ms);
  const byte = new Uint8Array(1);
  return recv(connection, byte, MSG_DONTWAIT) === 1 ? byte[0] : undefined;
}

function sweep(): void {
  try {
    removeOrphans(new Attachments(OWN_SUBNET_FILE), ({ containerId, ifName, config }) => {
      const attachment = { CNI_CONTAINERID: containerId, CNI_IFNAME: ifName, CNI_NETNS: '' };
      const env = { CNI_COMMAND: 'DEL', CNI_PATH: '/opt/cni/bin', ...attachment };
      const readStdin = (): Uint8Array => new TextEncoder().encode(stringifyExactJson(config));
      answerCall({ argv0: 'flannel', env, readStdin, write: () => {} });
    });
  } catch {
    // The next sweep tries again.
  }
}

/** For people, and for who wants to end it. */
function writePid(): void {
  pwrite(LOCK_FD, new TextEncoder().encode(`${process.pid}`.padEnd(PID_LETTERS)), 0);
}

function programOf(): FileStatus {
  return statFile(OWN_PROGRAM);
}

function isStill(path: string, before: FileStatus): boolean {
  try {
    return sameFile(statFile(path), before);
  } catch {
    return false;
  }
}

function removeFile(path: string): void {
  try {
    unlinkFile(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

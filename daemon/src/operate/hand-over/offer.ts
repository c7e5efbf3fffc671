/**
 * The present process: whoever runs as the same user may take over from it. It comes to rest for that, moves packets until the next one
 * can, and goes on as before when that one fails. When all is taken it only waits for its end, which is its supervisor's business.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Fd } from '@flannel-ts/linux/files';
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import { type KeptSocket, keepListening } from '../socket.ts';
import { sendDescriptors } from './pass.ts';
import { type Asked, type Greeting, Lines, line, PROTOCOL, type Said } from './protocol.ts';

export interface Yielding {
  /** Why nobody can take over at this moment; undefined: it can be done. */
  readonly refusal: () => string | undefined;
  readonly state: () => Greeting['state'];
  /** Resolves when nothing of this process but packets moves any more. */
  readonly rest: () => Promise<void>;
  /** What packets move through; by name. */
  readonly descriptors: () => ReadonlyMap<string, Fd>;
  /** Resolves when they wait there. */
  readonly pause: () => Promise<void>;
  /** All is as before rest(). */
  readonly resume: () => Promise<void>;
  /** Told when the next one moves packets. */
  readonly taken: () => void;
  /** For a process that nobody needs as a reserve any more. */
  readonly end: () => void;
}

/** From the question to the answer that packets move again; a start without etcd takes a few seconds. */
const LIMIT_MS = 60_000;

export async function offerHandOver(
  file: string,
  yielding: Yielding,
  log: Logger,
  limitMs = LIMIT_MS,
): Promise<KeptSocket> {
  let present: { readonly connection: Socket; readonly taking: Taking } | undefined;
  const make = (): Server =>
    createServer((connection) => {
      connection.setEncoding('utf8');
      connection.on('error', () => {}); // it is closed, too
      const say = (message: Said): void => void connection.write(line(message));
      say({ protocol: PROTOCOL, pid: process.pid, state: yielding.state() });
      const lines = new Lines<Asked>();
      const taking = new Taking(yielding, say, () => connection.end(), log);
      const timer = setTimeout(
        () => taking.giveUp(`it has not taken over within ${limitMs / 1000} s`),
        limitMs,
      ).unref();
      connection.on('data', (piece: string) => {
        for (const asked of lines.take(piece)) {
          if ('take' in asked) {
            const another = present?.taking.isUnderWay ? 'another process is taking over' : undefined;
            const refused = another ?? yielding.refusal();
            if (refused !== undefined) {
              say({ refused });
              continue;
            }
            present = { connection, taking };
          }
          if ('taken' in asked) clearTimeout(timer);
          taking.hear(asked);
        }
      });
      connection.on('close', () => {
        clearTimeout(timer);
        taking.giveUp('it has ended');
      });
    });
  const listener = {
    name: 'hand-over socket',
    loss: 'Nothing can take over from this flanneld while it runs',
    make,
    // Connections stay: who takes over has its name by then.
    end: (server: Server) => void server.close(),
  };
  const kept = await keepListening(file, listener, log);
  return {
    claim: () => kept.claim(),
    close: () => {
      kept.close();
      present?.connection.destroy();
    },
  };
}

/** One connection's: what is asked is done one after the other. */
class Taking {
  private steps: Promise<void> = Promise.resolve();
  private isAsked = false;
  private isOver = false;

  constructor(
    private readonly yielding: Yielding,
    private readonly say: (message: Said) => void,
    private readonly close: () => void,
    private readonly log: Logger,
  ) {}

  get isUnderWay(): boolean {
    return this.isAsked && !this.isOver;
  }

  hear(asked: Asked): void {
    if ('take' in asked && typeof asked.take === 'string') {
      this.isAsked = true;
      this.step(() => this.rest(asked.take));
    } else if ('pause' in asked) this.step(() => this.pause());
    else if ('taken' in asked) this.step(async () => this.taken());
    else if ('end' in asked) this.step(async () => this.end());
  }

  giveUp(why: string): void {
    this.step(() => this.resume(why));
  }

  private step(step: () => Promise<void>): void {
    this.steps = this.steps.then(async () => {
      if (!this.isAsked || this.isOver) return;
      try {
        await step();
      } catch (error) {
        await this.resume(messageOf(error));
      }
    });
  }

  private async rest(path: string): Promise<void> {
    this.log.info('Another flanneld takes over: only packets move from now on');
    await this.yielding.rest();
    const descriptors = this.yielding.descriptors();
    sendDescriptors(path, descriptors);
    this.say({ resting: [...descriptors.keys()] });
  }

  private async pause(): Promise<void> {
    await this.yielding.pause();
    this.say({ paused: true });
  }

  private taken(): void {
    this.log.info('Another flanneld has taken over: waiting for the end of this process');
    this.yielding.taken();
  }

  private end(): void {
    this.isOver = true;
    this.yielding.end();
  }

  private async resume(why: string): Promise<void> {
    this.isOver = true;
    this.log.warn(`The flanneld that was to take over has not: ${why}; going on as before`);
    this.say({ back: why });
    this.close();
    await this.yielding.resume();
  }
}

/** The next process: takes over from one that runs with the same subnet file, if there is one that can hand over. */
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import type { Logger } from 'pino';
import { DaemonError } from '../../errors.ts';
import { openReceiver, type Receiver } from './pass.ts';
import { type Asked, type Greeting, Lines, line, PROTOCOL, type Said } from './protocol.ts';

export interface TakenOver {
  readonly descriptors: ReadonlyMap<string, Fd>;
  /** Resolves when the process before moves no packet any more, and holds none. */
  pause(): Promise<void>;
  /** Packets of this node's pods are taken. */
  taken(): void;
  /** The process before is no reserve any more. */
  end(): void;
  /** Rejects when the process before goes on instead. */
  readonly failed: Promise<never>;
}

const GREETING_MS = 2000;
/** The present process gives its parts a second to come to rest. */
const REST_MS = 10_000;

/** Undefined when nobody is there to take over from; throws when there is, and it refuses. */
export async function takeOver(file: string, log: Logger): Promise<TakenOver | undefined> {
  const connection = await Connection.open(file);
  if (connection === undefined) return undefined;
  const greeting = await connection.hear(GREETING_MS, (said): said is Greeting => 'protocol' in said);
  if (greeting?.protocol !== PROTOCOL) {
    connection.close();
    log.warn(`What listens at ${file} does not hand over: starting without`);
    return undefined;
  }
  log.info(`Taking over from flanneld (process ${greeting.pid})`);
  const receiver = openReceiver(path.join(path.dirname(file), `.${process.pid}.take`));
  try {
    return await ask(connection, receiver, greeting, log);
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    receiver.close();
  }
}

async function ask(
  connection: Connection,
  receiver: Receiver,
  { pid }: Greeting,
  log: Logger,
): Promise<TakenOver | undefined> {
  connection.say({ take: receiver.path });
  type Answer = Extract<Said, { resting: unknown } | { refused: unknown } | { back: unknown }>;
  const isAnswer = (said: Said): said is Answer => 'resting' in said || 'refused' in said || 'back' in said;
  const answer = await connection.hear(REST_MS, isAnswer);
  if (answer === undefined && connection.isClosed) {
    for (const fd of receiver.receive().values()) closeFd(fd);
    log.info(`The flanneld before (process ${pid}) has ended: starting without it`);
    return undefined;
  }
  if (answer === undefined || !('resting' in answer)) {
    const why = answer === undefined ? 'it does not answer' : 'refused' in answer ? answer.refused : answer.back;
    throw new DaemonError('TAKE_OVER', `Cannot take over from flanneld (process ${pid}): ${why}`);
  }
  const descriptors = receiver.receive();
  const isBack = (said: Said): said is Extract<Said, { back: string }> => 'back' in said;
  const failed = connection.hear(undefined, isBack).then((back) => {
    // The process before has ended: nobody to go on instead.
    if (back === undefined) return new Promise<never>(() => {});
    throw new DaemonError('TAKE_OVER', `The flanneld before (process ${pid}) goes on instead: ${back.back}`);
  });
  failed.catch(() => {});
  return {
    descriptors,
    async pause() {
      connection.say({ pause: true });
      await connection.hear(undefined, (said): said is Extract<Said, { paused: true }> => 'paused' in said);
    },
    taken: () => connection.say({ taken: true }),
    end: () => connection.say({ end: true }),
    failed,
  };
}

/** Messages that nobody waited for are kept. */
class Connection {
  private readonly heard: Said[] = [];
  private readonly waiting = new Set<() => void>();
  isClosed = false;

  private constructor(private readonly socket: Socket) {
    const lines = new Lines<Said>();
    socket.setEncoding('utf8');
    socket.on('data', (piece: string) => {
      this.heard.push(...lines.take(piece));
      this.wake();
    });
    socket.on('error', () => {}); // it is closed, too
    socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
  }

  /** Undefined when nobody listens. */
  static open(file: string): Promise<Connection | undefined> {
    return new Promise((resolve) => {
      const socket = connect(file);
      const failed = (): void => resolve(undefined);
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        resolve(new Connection(socket));
      });
    });
  }

  say(message: Asked): void {
    if (!this.isClosed) this.socket.write(line(message));
  }

  /** Undefined when it was not said within the time, or before the connection ended. */
  hear<T extends Said>(withinMs: number | undefined, isMeant: (said: Said) => said is T): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = withinMs === undefined ? undefined : setTimeout(() => finish(undefined), withinMs);
      const finish = (said: T | undefined): void => {
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(said);
      };
      const look = (): void => {
        const index = this.heard.findIndex(isMeant);
        if (index >= 0) finish(this.heard.splice(index, 1)[0] as T);
        else if (this.isClosed) finish(undefined);
      };
      this.waiting.add(look);
      look();
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private wake(): void {
    for (const look of [...this.waiting]) look();
  }
}

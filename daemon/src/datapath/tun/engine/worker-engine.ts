import type { Worker } from 'node:worker_threads';
import type { Ip } from '@flannel-ts/inet/ip';
import { setNonblocking } from '@flannel-ts/linux/files';
import { type EventFd, eventfd } from '@flannel-ts/linux/poll';
import { Control } from './control.ts';
import type { Engine, EngineConfig, EngineCounters, EngineRoute, RouteChange } from './engine.ts';
import { EngineError } from './errors.ts';
import { SocketDrops } from './socket-drops.ts';
import { spawnWorker, type WorkerName } from './spawn.ts';
import { Watchdog } from './watchdog.ts';
import type { EngineWorkerData, EngineWorkerMessage } from './worker-main.ts';

const POLL_TIMEOUT_MS = 500;
const WATCH_INTERVAL_MS = 1000;
/** Ticks of our own timer, not time: a process stopped and continued (SIGSTOP, a suspended machine) is not a stuck worker. */
const STUCK_TICKS = 10;
const STOP_TIMEOUT_MS = 5000;
const EXIT_WAIT_MS = 1000;

/** Runs an engine's worker and resolves when its packets flow. */
export async function startWorkerEngine(name: WorkerName, config: EngineConfig, signal?: AbortSignal): Promise<Engine> {
  if (signal?.aborted) throw aborted(signal);
  setNonblocking(config.tunFd, true);
  setNonblocking(config.socketFd, true);
  const engine = new WorkerEngine(name, config);
  const onAbort = (): void => void engine.stop().catch(() => {});
  signal?.addEventListener('abort', onAbort, { once: true });
  void engine.ended.then(() => signal?.removeEventListener('abort', onAbort));
  await engine.begin(config.routes).catch(async (error: unknown) => {
    // A thread that hangs may still use the descriptors: if it does not end, that is the error to report.
    await engine.stop();
    throw signal?.aborted ? aborted(signal) : error;
  });
  if (signal?.aborted) {
    await engine.stop();
    throw aborted(signal);
  }
  return engine;
}

function aborted(signal: AbortSignal): EngineError {
  return new EngineError('ABORTED', 'The start of the engine was aborted', { cause: signal.reason });
}

class WorkerEngine implements Engine {
  readonly failed: Promise<Error>;
  /** Resolves when the worker runs, rejects when it ends before that. */
  readonly started: Promise<void>;
  /** Resolves when the thread is gone. */
  readonly ended: Promise<void>;

  readonly #control = new Control();
  readonly #wake: EventFd = eventfd();
  readonly #worker: Worker;
  readonly #watch: NodeJS.Timeout;
  /** Set while changes wait for room in the ring. */
  #rest: NodeJS.Timeout | undefined;
  readonly #drops: SocketDrops;
  /** Of the sockets that are only sent from. */
  readonly #strays: readonly SocketDrops[];
  #stopping = false;
  #gone = false;
  #failure: Error | undefined;
  #fail!: (error: Error) => void;
  #running!: () => void;
  #notStarted!: (error: Error) => void;

  constructor(name: WorkerName, { routes, ...config }: EngineConfig) {
    if (routes !== undefined) this.#control.hold();
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.started = new Promise((resolve, reject) => {
      this.#running = resolve;
      this.#notStarted = reject;
    });
    this.#drops = new SocketDrops(config.socketFd);
    this.#strays = (config.sourceFds ?? []).map((fd) => new SocketDrops(fd));
    const data: EngineWorkerData = {
      config,
      buffer: this.#control.shared.buffer,
      wakeFd: this.#wake.fd,
      pollTimeoutMs: POLL_TIMEOUT_MS,
    };
    this.#worker = spawnWorker(name, data);
    this.#worker.on('message', (message: EngineWorkerMessage) => this.#onMessage(message));
    this.#worker.on('error', (error: Error) => {
      this.#failure ??= new EngineError('WORKER_DIED', `The engine's thread died: ${error.message}`, { cause: error });
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#onExit(code);
        resolve();
      });
    });
    process.on('exit', this.#endWithProcess);
    this.#watch = this.#watchHeartbeat();
  }

  /** Resolves when the worker runs; it moves packets when it has these routes. */
  async begin(routes: readonly EngineRoute[] | undefined): Promise<void> {
    if (routes !== undefined) this.setRoutes(routes);
    await this.started;
  }

  setRoutes(routes: readonly EngineRoute[]): void {
    this.#control.setRoutes(routes);
    this.#handOver();
  }

  changeRoutes(change: RouteChange): void {
    this.#control.changeRoutes(change);
    this.#handOver();
  }

  setPathLimit(peer: Ip, limit: number | undefined): void {
    this.#control.setPathLimit(peer, limit);
    this.#handOver();
  }

  counters(): EngineCounters {
    if (!this.#gone) this.#sampleDrops();
    const strayDatagrams = this.#strays.reduce((sum, { total }) => sum + total, 0);
    return { ...this.#control.counters(), socketDrops: this.#drops.total, strayDatagrams };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#release();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // terminate() also waits for a thread in a system call, but ends one that is anywhere else.
        void this.#worker.terminate();
        reject(new EngineError('UNSTOPPABLE', `The engine's thread did not end within ${STOP_TIMEOUT_MS} ms`));
      }, STOP_TIMEOUT_MS);
    });
    await Promise.race([this.ended, late]).finally(() => clearTimeout(timer));
  }

  /** Wakes the thread to apply changes; those that did not fit into the ring follow as it makes room. */
  #handOver(): void {
    if (this.#gone || this.#stopping) return;
    const complete = this.#control.flush();
    if (complete) this.#control.release();
    this.#wake.signal();
    if (complete || this.#rest !== undefined) return;
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      this.#handOver();
    }, 1).unref();
  }

  readonly #release = (): void => {
    this.#control.requestStop();
    if (!this.#gone) this.#wake.signal();
  };

  /**
   * Node ends threads after the exit handlers, wherever they are: one that is blocked in a system call would keep the process, and
   * one that makes a call by koffi meanwhile would abort it.
   */
  readonly #endWithProcess = (): void => {
    this.#release();
    this.#control.waitForEnd(EXIT_WAIT_MS);
  };

  #onMessage(message: EngineWorkerMessage): void {
    if (message.type === 'running') this.#running();
    else this.#failure = new EngineError(message.code, message.message);
  }

  #onExit(code: number): void {
    // The caller may close the sockets from now on.
    this.#sampleDrops();
    this.#gone = true;
    clearInterval(this.#watch);
    process.off('exit', this.#endWithProcess);
    this.#wake.close();
    const error =
      this.#failure ?? new EngineError('WORKER_DIED', `The engine's thread ended by itself with exit code ${code}`);
    this.#notStarted(error);
    if (!this.#stopping) this.#fail(error);
  }

  #sampleDrops(): void {
    this.#drops.sample();
    for (const drops of this.#strays) drops.sample();
  }

  #watchHeartbeat(): NodeJS.Timeout {
    const watchdog = new Watchdog(this.#control.heartbeat, STUCK_TICKS);
    return setInterval(() => {
      if (!watchdog.observe(this.#control.heartbeat) || this.#stopping) return;
      const silence = (STUCK_TICKS * WATCH_INTERVAL_MS) / 1000;
      const error = new EngineError('STUCK', `The engine's thread has shown no sign of life for ${silence} s`);
      this.#notStarted(error);
      this.#fail(error);
    }, WATCH_INTERVAL_MS).unref();
  }
}

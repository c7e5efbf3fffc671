/** Keeps one service alive, and says how it is in its status file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, processStartTime } from '@flannel-ts/linux/process';
import {
  type Descriptor,
  type ProcessIdentity,
  readStatus,
  restartDelay,
  type Status,
  writeStatus,
} from './descriptor.ts';
import { rotateLog } from './log.ts';
import { askReadiness, NOT_ANSWERING, type Readiness } from './readiness.ts';
import { replaceBeside } from './replace.ts';
import { adoptService, type Exit, type Service, startService, stopService } from './service.ts';

const READY_POLL_MS = 100;
const HEALTH_POLL_MS = 2_000;
const LOG_POLL_MS = 5_000;

/** Runs until `signal`, and then ends the service as well. */
export async function supervise(descriptor: Descriptor, signal: AbortSignal): Promise<void> {
  const status = new StatusFile(descriptor);
  const rotation = setInterval(() => rotateLog(descriptor.log), LOG_POLL_MS);
  try {
    let failures = 0;
    let service: Service | Promise<Exit> | undefined = await takeOver(descriptor, status, signal);
    while (!signal.aborted || service !== undefined) {
      const begun = Date.now();
      if (service === undefined) {
        status.configured();
        service = startService(descriptor);
      }
      const exit = service instanceof Promise ? await service : await live(service, descriptor, status, signal);
      service = undefined;
      if (signal.aborted) break;
      failures = Date.now() - begun >= descriptor.backoff.resetMs ? 0 : failures + 1;
      status.ended(exit);
      await sleep(restartDelay(descriptor.backoff, Math.max(failures - 1, 0)), undefined, { signal }).catch(() => {});
      if (!signal.aborted) status.restarting();
    }
  } finally {
    clearInterval(rotation);
    status.stopped();
  }
}

/** From the start of a service to its end, whether by itself or because the supervisor is to stop. */
async function live(service: Service, descriptor: Descriptor, status: StatusFile, signal: AbortSignal): Promise<Exit> {
  const over = new AbortController();
  status.started(service.identity);
  const stop = () => void stopService(service, descriptor.stopMs);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  const watching = watchReadiness(descriptor, status, over.signal);
  try {
    return await service.exited;
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort();
    await watching;
  }
}

/** Often until it is ready for the first time, then now and then. */
async function watchReadiness(descriptor: Descriptor, status: StatusFile, over: AbortSignal): Promise<void> {
  for (let everReady = false; !over.aborted; ) {
    const readiness = await askReadiness(descriptor.readyUrl);
    if (over.aborted) return;
    status.readiness(readiness);
    everReady ||= readiness.ready;
    await sleep(everReady ? HEALTH_POLL_MS : READY_POLL_MS, undefined, { signal: over }).catch(() => {});
  }
}

/**
 * A service may have outlived the supervisor that started it. If it runs with this very configuration it is kept, without any
 * interruption. Otherwise another one is started beside it if it can hand over, and goes on if that one does not come up. Where it cannot,
 * it is ended first, because two of them would fight for the same port and device.
 */
async function takeOver(descriptor: Descriptor, status: StatusFile, signal: AbortSignal): Promise<Service | undefined> {
  const old = readStatus(descriptor.statusFile);
  if (old?.pid === undefined || old.startTime === undefined) return undefined;
  if (!isProcessAlive(old.pid, old.startTime)) return undefined;
  const orphan = adoptService({ pid: old.pid, startTime: old.startTime }, signal);
  if (old.configHash === descriptor.configHash) return orphan;
  status.adopted(orphan.identity, old.configHash);
  const outcome = await replaceBeside(orphan, descriptor, signal);
  if (outcome.kind === 'refused') {
    status.refused(outcome.why);
    return orphan;
  }
  const service = outcome.kind === 'replaced' ? outcome.service : undefined;
  status.configured();
  // Known before the other one is ended: a supervisor that follows this one has to find it.
  if (service !== undefined) status.started(service.identity);
  await stopService(orphan, descriptor.stopMs);
  return service;
}

/** The current state, written whenever it changes. */
class StatusFile {
  private status: Status;

  constructor(private readonly descriptor: Descriptor) {
    this.status = {
      supervisor: { pid: process.pid, startTime: processStartTime(process.pid)! },
      ...NOT_ANSWERING,
      restarts: 0,
      configHash: descriptor.configHash,
    };
  }

  /** Still with the configuration that it was started with. */
  adopted({ pid, startTime }: ProcessIdentity, configHash: string): void {
    this.write({ ...this.status, pid, startTime, configHash });
  }

  /** What runs from now on does so with this supervisor's configuration. */
  configured(): void {
    const { refused: _refused, ...rest } = this.status;
    this.status = { ...rest, configHash: this.descriptor.configHash };
  }

  refused(why: string): void {
    this.write({ ...this.status, refused: { configHash: this.descriptor.configHash, why } });
  }

  started({ pid, startTime }: ProcessIdentity): void {
    this.write({ ...this.status, pid, startTime, ...NOT_ANSWERING });
  }

  readiness(readiness: Readiness): void {
    if (readiness.ready === this.status.ready && readiness.answering === this.status.answering) return;
    this.write({ ...this.status, ...readiness });
  }

  ended(exit: Exit): void {
    this.write({ ...this.withoutProcess(), lastExit: { ...exit, at: new Date().toISOString() } });
  }

  restarting(): void {
    this.write({ ...this.status, restarts: this.status.restarts + 1 });
  }

  stopped(): void {
    this.write(this.withoutProcess());
  }

  private withoutProcess(): Status {
    const { pid: _pid, startTime: _startTime, ...rest } = this.status;
    return { ...rest, ...NOT_ANSWERING };
  }

  private write(status: Status): void {
    this.status = status;
    writeStatus(this.descriptor.statusFile, status);
  }
}

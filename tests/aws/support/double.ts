/** The test double of Pulumi's AWS provider, started and controlled. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from '../../../tools/build/bundle.mjs';
import type {
  Control,
  ControlAnswer,
  ControlRequest,
  Fault,
  Hold,
  JournalEntry,
  MachineView,
  Operation,
  Ready,
  ResourceView,
} from '../double/protocol.ts';

export const REPOSITORY = join(__dirname, '..', '..', '..');

const PATIENCE_MS = 60_000;

export class Double {
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private calls = 0;

  private constructor(
    private readonly child: ChildProcess,
    /** The value of PULUMI_DEBUG_PROVIDERS. */
    readonly providers: string,
    private readonly cliPort: number,
  ) {
    child.on('message', (answer: ControlAnswer) => {
      const { resolve, reject } = this.waiting.get(answer.call)!;
      this.waiting.delete(answer.call);
      if ('error' in answer) reject(new Error(answer.error));
      else resolve(answer.result);
    });
  }

  static async start(): Promise<Double> {
    const file = await bundle(REPOSITORY, 'tests/aws/double/main.ts', 'dist/tests/aws-double.cjs');
    const child = fork(file, {
      cwd: REPOSITORY,
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const { providers, cliPort } = await new Promise<Ready>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Ready));
      child.once('exit', (code) => reject(new Error(`The double ended with ${code} before it was ready`)));
    });
    return new Double(child, providers, cliPort);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.disconnect();
    await ended;
  }

  /** Writes a program `aws` that works in this account; into a directory that is to be the first of PATH. */
  installCli(directory: string): void {
    const ask = `curl -sS --fail-with-body --data-binary @- http://127.0.0.1:${this.cliPort}/`;
    const script = `#!/bin/sh\nanswer=$(printf '%s\\0' "$@" | ${ask}) || { echo "$answer" >&2; exit 254; }\necho "$answer"\n`;
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'aws'), script, { mode: 0o755 });
  }

  neverReady(text: string): Promise<void> {
    return this.call('neverReady', text);
  }

  fail(fault: Fault): Promise<void> {
    return this.call('fail', fault);
  }

  hold(hold: Hold): Promise<void> {
    return this.call('hold', hold);
  }

  /** Resolves when such a request has come. */
  async until(condition: (entry: JournalEntry) => boolean): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!(await this.journal()).some(condition)) {
      if (Date.now() > end) throw new Error(`No such request within ${PATIENCE_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  clearFaults(): Promise<void> {
    return this.call('clearFaults');
  }

  publishImages(): Promise<void> {
    return this.call('publishImages');
  }

  reset(): Promise<void> {
    return this.call('reset');
  }

  vanish(urn: string): Promise<void> {
    return this.call('vanish', urn);
  }

  drift(urn: string, inputs: Readonly<Record<string, unknown>>): Promise<void> {
    return this.call('drift', urn, inputs);
  }

  journal(): Promise<readonly JournalEntry[]> {
    return this.call('journal');
  }

  clearJournal(): Promise<void> {
    return this.call('clearJournal');
  }

  machines(): Promise<readonly MachineView[]> {
    return this.call('machines');
  }

  resources(): Promise<readonly ResourceView[]> {
    return this.call('resources');
  }

  /** What was really done, preview left out, in the order in which it began. */
  async done(...operations: readonly Operation[]): Promise<readonly JournalEntry[]> {
    const wanted: readonly Operation[] =
      operations.length > 0 ? operations : ['create', 'update', 'delete', 'refresh', 'run'];
    return (await this.journal()).filter(({ operation, preview }) => !preview && wanted.includes(operation));
  }

  private call<T>(method: keyof Control, ...args: readonly unknown[]): Promise<T> {
    this.calls += 1;
    const call = this.calls;
    const answer = new Promise<unknown>((resolve, reject) => this.waiting.set(call, { resolve, reject }));
    this.child.send({ call, method, args } satisfies ControlRequest);
    return answer as Promise<T>;
  }
}

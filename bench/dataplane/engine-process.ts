/** A process with one of our engines, built and run as flanneld is: in one file, by Bun or by Node. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Benchmarks are run at the root of the checkout. */
const ROOT = process.cwd();

export type Runtime = 'bun' | 'node';

export interface Program {
  readonly command: readonly string[];
  remove(): void;
}

/** Beside the repository's packages, where a Node bundle finds koffi. */
export function buildProgram(runtime: Runtime): Program {
  const directory = join(ROOT, `node_modules/.cache/bench-${process.pid}`);
  mkdirSync(directory, { recursive: true });
  const bundle = join(directory, 'node.cjs');
  const script = `
    import { build } from 'esbuild';
    import { workerDefine } from './daemon/build/workers.mjs';
    await build({ entryPoints: ['daemon/src/engine/testing/node.ts'], outfile: process.argv[1], bundle: true,
      platform: 'node', format: 'cjs', define: await workerDefine(), external: ['koffi', 'esbuild'] });`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script, bundle], { cwd: ROOT });
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  if (runtime === 'node') return { command: [process.execPath, bundle], remove };
  const binary = join(directory, 'node');
  execFileSync(join(ROOT, 'node_modules/.bin/bun'), ['build', '--compile', bundle, '--outfile', binary]);
  return { command: [binary], remove };
}

export class EngineProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: Program, netns: string, args: readonly string[]) {
    this.#child = spawn('nsenter', [`--net=${netns}`, ...program.command, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async started(): Promise<void> {
    const { value } = await this.#lines.next();
    if (value !== 'running') throw new Error(`The engine's process did not start: ${value}`);
  }

  async counters(): Promise<Record<string, unknown>> {
    this.#child.stdin!.write('\n');
    return JSON.parse((await this.#lines.next()).value as string) as Record<string, unknown>;
  }

  /** Seconds of processor time so far, user and system: proc(5), stat, fields 14 and 15, ticks of 10 ms. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  get residentMegabytes(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin!.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 8000);
    await ended;
    clearTimeout(late);
  }
}

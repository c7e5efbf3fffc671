/** The Pulumi CLI, with this project and its backend. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { INTERRUPTED } from '@flannel-ts/infra/local/host/interrupt';
import { ToolError } from '../../setup/errors.mjs';
import { formatElapsed, say } from '../../setup/progress.mjs';
import { runWithSignals } from '../children.ts';
import type { Context } from '../context.ts';
import { type Backend, prepareBackend } from './backend.ts';
import { MARK } from './orphans.ts';
import { describeEvent, diagnosticsOf, parseEvent, summaryOf } from './output.ts';
import { runLogged } from './quiet.ts';
import { repairBackend } from './repair.ts';

/** Of a failure without diagnostics. */
const LINES_SHOWN = 12;

export class Pulumi {
  readonly root: string;
  readonly backend: Backend;
  private readonly cache: string;

  constructor(context: Context) {
    this.root = context.root;
    this.cache = context.cache;
    this.backend = prepareBackend(context);
    if (this.backend.directory !== undefined) repairBackend(this.backend.directory);
  }

  /** Runs it in the foreground and gives its exit code. */
  show(args: readonly string[]): Promise<number> {
    return runWithSignals('pulumi', args, { cwd: this.root, env: this.backend.env });
  }

  /** The same for a command that changes the stack. */
  async change(stack: string, command: string, args: readonly string[], output?: number): Promise<number> {
    const interrupted = join(this.cache, `interrupted.${process.pid}`);
    const env = { ...this.backend.env, [MARK]: this.mark(stack), [INTERRUPTED]: interrupted };
    const onSignal = () => writeFileSync(interrupted, '');
    const options = { cwd: this.root, env, onSignal, ...(output !== undefined && { output }) };
    try {
      return await runWithSignals('pulumi', [command, '--stack', stack, ...args], options);
    } finally {
      rmSync(interrupted, { force: true });
    }
  }

  /** The same, with a line for each machine and a summary; of a failure the reasons. The whole output is kept in a file. */
  async changeQuietly(stack: string, command: string, args: readonly string[]): Promise<number> {
    const started = Date.now();
    const file = join(this.cache, 'logs', `${stack}.${command}.log`);
    const onLine = (line: string) => {
      const event = parseEvent(line);
      const text = event && describeEvent(event);
      if (text !== undefined) say(text);
    };
    const { code, log } = await runLogged(file, onLine, (output) => this.change(stack, command, args, output));
    const summary = summaryOf(log);
    if (code === 0) {
      say(`${summary ?? 'Nothing to do'} (${formatElapsed(Date.now() - started)})`);
    } else {
      const lines = log.trim().split('\n');
      say(diagnosticsOf(log) ?? lines.slice(-LINES_SHOWN).join('\n'));
      say(`All that Pulumi said is in ${file}`);
    }
    return code;
  }

  /** Held by the command that changes the stack, from before it looks at what there is. */
  lockFile(stack: string): string {
    const backend = createHash('sha256').update(this.mark(stack)).digest('hex').slice(0, 8);
    return join(this.cache, 'locks', `${stack}.${backend}`);
  }

  /** Names a stack among all that there are on this machine. */
  mark(stack: string): string {
    return `${stack} in ${this.backend.directory ?? this.backend.env.PULUMI_BACKEND_URL ?? 'the backend'}`;
  }

  /** Runs it quietly and gives its standard output. `input` goes to its standard input. */
  async ask(args: readonly string[], input?: string): Promise<string> {
    const child = spawn('pulumi', [...args, '--non-interactive'], { cwd: this.root, env: this.backend.env });
    child.stdin.on('error', () => {}); // it may not read what it is given; its exit code tells
    child.stdin.end(input);
    const exit = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
    if (code === 0) return stdout;
    const said = (stderr || stdout).trim().replace(/^error: /, '');
    throw new ToolError('PULUMI', `"pulumi ${args.slice(0, 2).join(' ')}" failed: ${said}`);
  }
}

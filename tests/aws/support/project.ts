/**
 * The real Pulumi CLI, with a project, a backend and a home of its own in a temporary directory, attached to the double.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { makeContext } from '../../../tools/setup/context.mjs';
import { findPulumi } from '../../../tools/setup/pulumi.mjs';
import { type Double, REPOSITORY } from './double.ts';

export interface Result {
  readonly code: number | null;
  /** Standard output and standard error. */
  readonly output: string;
  readonly stdout: string;
  readonly seconds: number;
}

export interface StateResource {
  readonly urn: string;
  readonly type: string;
  readonly id?: string;
  readonly custom: boolean;
  readonly protect?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

export interface State {
  readonly deployment: {
    readonly resources?: readonly StateResource[];
    readonly pending_operations?: readonly unknown[];
  };
}

/** Settings as `pulumi config set` takes them; objects are given as JSON. */
export type Settings = Readonly<Record<string, string | number | boolean | object>>;

/** Of a failed command's output: the end says why. */
const MOST = 4000;

export class Project {
  private readonly env: NodeJS.ProcessEnv;
  /** All that the CLI said, but for what was asked of it with --show-secrets. */
  said = '';

  private constructor(
    readonly directory: string,
    path: string,
    double: Double,
    /** Of the project, before the colon of a configuration key. */
    private readonly name: string,
  ) {
    mkdirSync(join(directory, 'state'));
    double.installCli(join(directory, 'bin'));
    this.env = {
      PATH: `${join(directory, 'bin')}${delimiter}${path}`,
      HOME: directory,
      PULUMI_HOME: join(directory, 'home'),
      PULUMI_BACKEND_URL: `file://${join(directory, 'state')}`,
      PULUMI_CONFIG_PASSPHRASE: 'a passphrase of the tests',
      PULUMI_DEBUG_PROVIDERS: double.providers,
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true',
      PULUMI_SKIP_UPDATE_CHECK: 'true',
      PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS: 'true',
      PULUMI_ERROR_OUTPUT_STRING: 'true',
      PULUMI_NODEJS_TRANSPILE_ONLY: 'true',
    };
  }

  /** This repository's own program, with copies of its stacks' files. */
  static async ofRepository(double: Double, name = 'flannel'): Promise<Project> {
    // What Pulumi's provider process loads.
    execFileSync(process.execPath, [join(REPOSITORY, 'infra/build.mjs')]);
    const directory = mkdtempSync(join(tmpdir(), 'flannel-aws-'));
    const yaml = readFileSync(join(REPOSITORY, 'Pulumi.yaml'), 'utf8');
    writeFileSync(join(directory, 'Pulumi.yaml'), yaml.replace(/^name: .*$/m, `name: ${name}`));
    // A copy, so that the program is the same for all commands, whatever is edited meanwhile.
    const infra = join(REPOSITORY, 'infra');
    cpSync(infra, join(directory, 'infra'), { recursive: true, filter: (path) => path !== join(infra, 'dist') });
    symlinkSync(join(REPOSITORY, 'node_modules'), join(directory, 'node_modules'));
    mkdirSync(join(directory, 'stacks'));
    for (const stack of ['dev', 'ci', 'prod']) {
      const file = `Pulumi.${stack}.yaml`;
      const settings = readFileSync(join(REPOSITORY, 'stacks', file), 'utf8');
      // The passphrase of the tests stands for what keeps the secrets in an account.
      writeFileSync(
        join(directory, 'stacks', file),
        settings
          .replaceAll(/^(?:secretsprovider|encryptionsalt|encryptedkey):.*\n/gm, '')
          .replaceAll(/^( +)flannel:/gm, `$1${name}:`),
      );
    }
    return new Project(directory, await pulumiPath(), double, name);
  }

  /** A small program; `source` is its index.ts. */
  static async ofSource(double: Double, source: string): Promise<Project> {
    const directory = mkdtempSync(join(tmpdir(), 'flannel-aws-'));
    symlinkSync(join(REPOSITORY, 'node_modules'), join(directory, 'node_modules'));
    writeFileSync(join(directory, 'Pulumi.yaml'), 'name: small\nruntime: nodejs\n');
    writeFileSync(join(directory, 'package.json'), '{"private":true}');
    writeFileSync(
      join(directory, 'tsconfig.json'),
      '{"compilerOptions":{"target":"ES2022","module":"commonjs","moduleResolution":"node10","noCheck":true}}',
    );
    const project = new Project(directory, await pulumiPath(), double, 'small');
    project.write(source);
    return project;
  }

  /** Replaces the small program. */
  write(source: string): void {
    writeFileSync(join(this.directory, 'index.ts'), source);
  }

  /** A setting of the stack; undefined where neither its file nor the project sets it. */
  async setting(stack: string, key: string): Promise<string | undefined> {
    const all = JSON.parse((await this.ok('config', '--json', '--stack', stack)).stdout) as Record<
      string,
      { value?: string }
    >;
    return all[`${this.name}:${key}`]?.value;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Makes the stack, with these settings over those of its file. */
  async init(stack: string, settings: Settings = {}): Promise<void> {
    await this.ok('stack', 'init', stack, '--no-select');
    await this.configure(stack, settings);
  }

  async configure(stack: string, settings: Settings): Promise<void> {
    const entries = Object.entries(settings).map(([key, value]) => [
      key.includes(':') ? key : `${this.name}:${key}`,
      typeof value === 'object' ? { value: JSON.stringify(value), objectValue: value } : { value: String(value) },
    ]);
    if (entries.length > 0) {
      await this.ok('config', 'set-all', '--stack', stack, '--json', JSON.stringify(Object.fromEntries(entries)));
    }
  }

  async run(...args: readonly string[]): Promise<Result> {
    const began = performance.now();
    const child = spawn('pulumi', [...args, '--non-interactive', '--color=never'], {
      cwd: this.directory,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const code = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if (!args.includes('--show-secrets')) this.said += stdout + stderr;
    return { code: await code, stdout, output: stdout + stderr, seconds: (performance.now() - began) / 1000 };
  }

  /** An `up` that is killed, with all its processes, when `when` says. */
  async killedUp(stack: string, when: () => Promise<void>): Promise<void> {
    const args = ['up', '--yes', '--skip-preview', '--suppress-progress', '--stack', stack, '--non-interactive'];
    const child = spawn('pulumi', args, { cwd: this.directory, env: this.env, stdio: 'ignore', detached: true });
    const ended = new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
    await when();
    process.kill(-child.pid!, 'SIGKILL');
    await ended;
  }

  /** The same, and the test fails with all it said when it does not end with 0. */
  async ok(...args: readonly string[]): Promise<Result> {
    const result = await this.run(...args);
    if (result.code !== 0)
      throw new Error(`pulumi ${args.join(' ')} ended with ${result.code}\n${result.output.slice(-MOST)}`);
    return result;
  }

  /** `up` without the preview before it, unless there is something to see in it. */
  up(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.ok('up', '--yes', '--skip-preview', '--suppress-progress', '--stack', stack, ...flags);
  }

  tryUp(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.run('up', '--yes', '--skip-preview', '--suppress-progress', '--stack', stack, ...flags);
  }

  preview(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.ok('preview', '--suppress-progress', '--stack', stack, ...flags);
  }

  refresh(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.ok('refresh', '--yes', '--skip-preview', '--suppress-progress', '--stack', stack, ...flags);
  }

  destroy(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.ok('destroy', '--yes', '--skip-preview', '--suppress-progress', '--stack', stack, ...flags);
  }

  /** With its preview: only that refuses before anything is deleted. */
  tryDestroy(stack: string, ...flags: readonly string[]): Promise<Result> {
    return this.run('destroy', '--yes', '--suppress-progress', '--stack', stack, ...flags);
  }

  async outputs<T>(stack: string, ...flags: readonly string[]): Promise<T> {
    return JSON.parse((await this.ok('stack', 'output', '--json', '--stack', stack, ...flags)).stdout) as T;
  }

  async state(stack: string, ...flags: readonly string[]): Promise<State> {
    return JSON.parse((await this.ok('stack', 'export', '--stack', stack, ...flags)).stdout) as State;
  }

  /** All that the backend keeps of this project's stacks, as it is on the disk. */
  stored(): string {
    const directory = join(this.directory, 'state');
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
      .join('\n');
  }
}

export async function pulumiPath(): Promise<string> {
  const directory = await findPulumi(makeContext(REPOSITORY, process.env));
  if (directory === undefined) throw new Error('There is no Pulumi CLI on this machine: "npm run setup" brings one');
  return `${directory}${delimiter}${process.env.PATH}`;
}

/** The CNI plugin as a runtime sees it: a program, variables, a configuration on stdin; nodes and pods are namespaces. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { built } from './built.ts';
import { type ResidentMounts, startMounts } from './cni-resident.ts';
import { copyKoffi } from './koffi.ts';

const ROOT = path.resolve(__dirname, '../../..');
export const DEBIAN_PLUGINS = '/usr/lib/cni';

export type Conf = Record<string, unknown>;
export interface Program {
  readonly command: readonly string[];
  readonly directory: string;
  /** Where its resident processes are. */
  readonly resident?: ResidentMounts;
}

const SOURCES = ['cni', 'packages', 'tsconfig.json'];

/** From source: one bundle, run by Node. The caller removes the directory. */
export function bundlePlugin(): Program {
  const directory = built({ name: 'cni-bundle', sources: SOURCES }, (to) => {
    buildSync({
      absWorkingDir: ROOT,
      entryPoints: ['cni/src/main.ts'],
      outfile: path.join(to, 'flannel.cjs'),
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      sourcemap: 'inline',
      logLevel: 'error',
      external: ['koffi'],
    });
    copyKoffi(to);
  });
  return { command: [process.execPath, path.join(directory, 'flannel.cjs')], directory };
}

/** The executable that nodes get, compiled by Bun as `npm run build` does. */
export function compilePlugin(): Program {
  const directory = built({ name: 'cni', sources: SOURCES }, (to) => {
    const entries = [path.join(ROOT, 'cni/src/main.ts')];
    const outfile = path.join(to, 'flannel');
    const task = { entries, outfile, version: 'test', target: `bun-linux-${process.arch}`, isBrief: true };
    const bun = path.join(ROOT, 'node_modules/.bin/bun');
    execFileSync(bun, [path.join(ROOT, 'tools/build/compile.ts'), JSON.stringify(task)], { cwd: ROOT });
  });
  return { command: [path.join(directory, 'flannel')], directory };
}

/** The same, its calls answered by the resident process of each node. */
export function compileResident(): Program {
  const { command, directory } = compilePlugin();
  const resident = startMounts(directory);
  const wrapped = { command: [...resident.enter, ...command], directory, resident };
  awaitResident(wrapped, []);
  return wrapped;
}

/** The first call leaves it behind. */
function awaitResident({ command, resident }: Program, wrap: readonly string[]): void {
  const [file, ...args] = [...wrap, ...command];
  const env = {
    ...{ PATH: process.env.PATH ?? '', CNI_COMMAND: 'DEL', CNI_PATH: DEBIAN_PLUGINS },
    ...{ CNI_CONTAINERID: 'nobody', CNI_IFNAME: 'eth0', CNI_NETNS: '' },
  };
  const input = JSON.stringify({ name: 'fltest-nobody', type: 'loopback', cniVersion: '1.0.0' });
  const run = spawnSync(file!, args, { env, input, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`the first call failed: ${run.stdout}${run.stderr}`);
  const netns = execFileSync([...wrap, 'stat'][0]!, [...wrap, 'stat', '-Lc%i', '/proc/self/ns/net'].slice(1), {
    encoding: 'utf8',
  });
  resident!.await(netns.trim());
}

export const PROGRAMS = [
  ['from source', bundlePlugin],
  ['compiled', compilePlugin],
  ['by the resident process', compileResident],
] as const;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What stdout holds, if it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: results are looked at in every shape
  readonly json: any;
}

export interface Call {
  readonly pod: string;
  readonly id?: string;
  readonly ifName?: string;
  readonly conf?: Conf;
  readonly env?: Record<string, string>;
  readonly netns?: string;
  /** Another program than the plugin under test: a Debian one. */
  readonly program?: readonly string[];
}

let count = 0;

/** A node: a namespace for the host's side, a directory for its files, and its pods' namespaces. */
export class CniNode {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'fltest-node-'));
  private readonly id = `fltest-${process.pid}-c${count++}`;
  readonly host = `${this.id}-host`;
  private readonly pods: string[] = [];
  /** Merged into every configuration. */
  conf: Conf;

  constructor(
    readonly program: Program,
    readonly version = '1.0.0',
    env: Record<string, string> = {},
  ) {
    sh('ip', 'netns', 'add', this.host);
    inside(this.host, 'ip', 'link', 'set', 'lo', 'up');
    if (program.resident) awaitResident(program, ['nsenter', `--net=/run/netns/${this.host}`]);
    this.writeEnv(env);
    this.conf = {
      name: 'cbr0',
      type: 'flannel',
      cniVersion: this.version,
      subnetFile: this.file('subnet.env'),
      dataDir: this.file('flannel'),
      ipam: { dataDir: this.file('networks') },
      delegate: { hairpinMode: true, isDefaultGateway: true },
    };
  }

  file(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  writeEnv(changes: Record<string, string | undefined> = {}): void {
    const values: Record<string, string | undefined> = {
      FLANNEL_NETWORK: '10.244.0.0/16',
      FLANNEL_SUBNET: '10.244.1.1/24',
      FLANNEL_MTU: '1450',
      FLANNEL_IPMASQ: 'true',
      ...changes,
    };
    const lines = Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : `${key}=${value}\n`));
    writeFileSync(this.file('subnet.env'), lines.join(''));
  }

  addPod(): string {
    const pod = `${this.id}-p${this.pods.length}`;
    sh('ip', 'netns', 'add', pod);
    inside(pod, 'ip', 'link', 'set', 'lo', 'up');
    this.pods.push(pod);
    return pod;
  }

  private prepare(command: string, call: Call): { argv: string[]; env: Record<string, string>; input: string } {
    const env = {
      PATH: process.env.PATH ?? '',
      CNI_COMMAND: command,
      CNI_CONTAINERID: call.id ?? call.pod,
      CNI_NETNS: call.netns ?? `/run/netns/${call.pod}`,
      CNI_IFNAME: call.ifName ?? 'eth0',
      CNI_PATH: DEBIAN_PLUGINS,
      ...call.env,
    };
    const argv = ['nsenter', `--net=/run/netns/${this.host}`, ...(call.program ?? this.program.command)];
    return { argv, env, input: JSON.stringify({ ...this.conf, ...call.conf }) };
  }

  run(command: string, call: Call): Outcome {
    const { argv, env, input } = this.prepare(command, call);
    const run = spawnSync(argv[0]!, argv.slice(1), { env, input, encoding: 'utf8' });
    return { code: run.status ?? -1, stdout: run.stdout, stderr: run.stderr, json: tryParse(run.stdout) };
  }

  /** For many at once, or to kill one in the middle. */
  start(command: string, call: Call): { readonly done: Promise<Outcome>; kill(): void } {
    const { argv, env, input } = this.prepare(command, call);
    const child = spawn(argv[0]!, argv.slice(1), { env, stdio: 'pipe' });
    const out: string[] = [];
    const err: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const done = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        const stdout = out.join('');
        resolve({ code: code ?? -1, stdout, stderr: err.join(''), json: tryParse(stdout) });
      });
    });
    return { done, kill: () => child.kill('SIGKILL') };
  }

  add(call: Call): Outcome {
    return this.run('ADD', call);
  }

  /** ADD that has to succeed; its result. */
  // biome-ignore lint/suspicious/noExplicitAny: results are looked at in every shape
  attach(call: Call): any {
    const outcome = this.add(call);
    if (outcome.code !== 0) throw new Error(`ADD failed: ${outcome.stdout}${outcome.stderr}`);
    return outcome.json;
  }

  del(call: Call): Outcome {
    return this.run('DEL', call);
  }

  /** Addresses in the store, sorted as text. */
  reserved(network = 'cbr0'): string[] {
    return list(this.file('networks', network)).filter((name) => /^[0-9a-f]+[.:][0-9a-f.:]+$/.test(name));
  }

  scratch(): string[] {
    return list(this.file('flannel'));
  }

  read(...names: string[]): string {
    return readFileSync(this.file(...names), 'utf8');
  }

  put(text: string, ...names: string[]): void {
    mkdirSync(path.dirname(this.file(...names)), { recursive: true });
    writeFileSync(this.file(...names), text);
  }

  /** Host ends of pods. */
  ports(): Link[] {
    return links(this.host).filter((link) => link.ifname.startsWith('veth'));
  }

  /** Nothing of any pod is left on the node. */
  remains(): { ports: number; reserved: string[]; scratch: string[] } {
    return { ports: this.ports().length, reserved: this.reserved(), scratch: this.scratch() };
  }

  destroy(): void {
    this.program.resident?.end(inside(this.host, 'stat', '-Lc%i', '/proc/self/ns/net').trim());
    for (const name of [...this.pods, this.host]) if (existsSync(`/run/netns/${name}`)) sh('ip', 'netns', 'del', name);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const NOTHING = { ports: 0, reserved: [], scratch: [] };

export interface Link {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

export function links(netns: string): Link[] {
  return JSON.parse(inside(netns, 'ip', '-j', 'address', 'show'));
}

export function link(netns: string, name: string): Link | undefined {
  return links(netns).find((entry) => entry.ifname === name);
}

/** `10.244.1.2/24` of the interface, without link-local ones. */
export function addresses(netns: string, name: string): string[] {
  const info = link(netns, name)?.addr_info ?? [];
  return info.filter(({ local }) => !local.startsWith('fe80')).map((entry) => `${entry.local}/${entry.prefixlen}`);
}

/** `DESTINATION via GATEWAY`, sorted. */
export function routes(netns: string, ...flags: string[]): string[] {
  const listed: { dst: string; gateway?: string; protocol?: string }[] = JSON.parse(
    inside(netns, 'ip', '-j', ...flags, 'route', 'show'),
  );
  return listed
    .filter(({ dst }) => !dst.startsWith('fe80') && !dst.startsWith('ff00'))
    .map(({ dst, gateway }) => (gateway === undefined ? dst : `${dst} via ${gateway}`))
    .sort();
}

export function sysctl(netns: string, name: string): string {
  return inside(netns, 'cat', `/proc/sys/net/${name}`).trim();
}

export function pings(netns: string, target: string, ...flags: string[]): boolean {
  return spawnSync('nsenter', [`--net=/run/netns/${netns}`, 'ping', '-c1', '-W2', ...flags, target]).status === 0;
}

export function inside(netns: string, ...command: string[]): string {
  return sh('nsenter', `--net=/run/netns/${netns}`, ...command);
}

export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Makes the plugin once and a node for each test; `take` gets the node, and may prepare it. */
export function eachOnFreshNode(make: () => Program, take: (node: CniNode) => void): void {
  let program: Program;
  let node: CniNode;
  beforeAll(() => {
    program = make();
  });
  afterAll(() => rmSync(program.directory, { recursive: true, force: true }));
  beforeEach(() => {
    node = new CniNode(program);
    take(node);
  });
  afterEach(() => node.destroy());
}

/** What the end-to-end tests share: the commands of the README, the pods of a stack, and what a stack may leave behind. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const REPOSITORY = join(__dirname, '..', '..');
const PROBE = join(REPOSITORY, 'tests', 'fixtures', 'probe.mjs');
const STATE_DIR = '/var/lib/flannel-local';

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Outputs {
  readonly network: {
    readonly vpcCidr: string;
    readonly podCidr: string;
    readonly subnetLength: number;
    readonly backend: object;
  };
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly podSubnet: string }[];
  readonly pods: readonly {
    readonly name: string;
    readonly node: string;
    readonly address: string;
    readonly netns: string;
  }[];
  readonly etcdEndpoints: readonly string[];
  readonly artifact: { readonly version: string; readonly sha256: string };
}

/** A stack name nobody else uses: the process id keeps parallel test runs apart. */
export function stackName(topic: string): string {
  return `e2e-${topic}-${process.pid}`;
}

export function start(
  command: readonly string[],
  options: { env?: Record<string, string>; detached?: boolean } = {},
): ChildProcess {
  return spawn(command[0]!, command.slice(1), {
    cwd: REPOSITORY,
    env: { ...process.env, ...options.env },
    detached: options.detached ?? false,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export function finish(child: ChildProcess): Promise<Result> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

export function run(command: readonly string[], env?: Record<string, string>): Promise<Result> {
  return finish(start(command, env ? { env } : {}));
}

/** `npm run COMMAND -- ARGS`, without npm's own output. */
export function cli(command: string, ...args: string[]): Promise<Result> {
  return run(['node', 'tools/run.mjs', command, ...args]);
}

/** The same, and the test fails with all it said when it did not end with 0. */
export async function cliOk(command: string, ...args: string[]): Promise<Result> {
  const result = await cli(command, ...args);
  if (result.code !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${result.code}\n${result.stdout}\n${result.stderr}`);
  }
  return result;
}

export async function outputs(stack: string): Promise<Outputs> {
  return JSON.parse((await cliOk('status', '--stack', stack, '--json')).stdout) as Outputs;
}

/** The built artifact after a shell command in its directory; the caller removes the directory. */
export function changedArtifact(command: string): { readonly directory: string; readonly sha256: string } {
  const directory = mkdtempSync(join(tmpdir(), 'flannel-e2e-'));
  const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'dist', 'manifest.json'), 'utf8'));
  const archive = join(directory, manifest.artifact.file);
  const built = join(REPOSITORY, 'dist', manifest.artifact.file);
  const unpacked = join(directory, 'unpacked');
  const script = `mkdir ${unpacked} && tar -xzf ${built} -C ${unpacked} && (cd ${unpacked} && ${command}) && tar -czf ${archive} -C ${unpacked} .`;
  const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Cannot change the artifact: ${stderr}`);
  const sha256 = createHash('sha256').update(readFileSync(archive)).digest('hex');
  manifest.artifact.sha256 = sha256;
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  return { directory, sha256 };
}

export function netns(stack: string, name: string): string {
  return `/run/netns/flannel.${stack}.${name}`;
}

export function inside(namespace: string, ...command: string[]): Promise<Result> {
  return run(['nsenter', `--net=${namespace}`, '--', ...command]);
}

export async function insideOk(namespace: string, ...command: string[]): Promise<string> {
  const result = await inside(namespace, ...command);
  if (result.code !== 0) throw new Error(`${command.join(' ')} in ${namespace}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Starts the probe's servers in every pod; the caller ends them by the function returned. */
export async function servePods(pods: Outputs['pods'], port: number): Promise<() => void> {
  const children = pods.map((pod) =>
    start(['nsenter', `--net=${pod.netns}`, '--', 'node', PROBE, 'serve', String(port)]),
  );
  await Promise.all(children.map((child) => new Promise((resolve) => child.stdout?.once('data', resolve))));
  return () => {
    for (const child of children) child.kill('SIGKILL');
  };
}

/** Sends over ping, TCP and UDP from every pod to every other; returns what failed, one line each. */
export async function unreachable(pods: Outputs['pods'], port: number): Promise<string[]> {
  const failures: string[] = [];
  for (const from of pods) {
    const others = pods.filter((to) => to.name !== from.name);
    const pings = others.map(async (to) => {
      const ping = await inside(from.netns, 'ping', '-c', '1', '-W', '5', to.address);
      if (ping.code !== 0) failures.push(`ping ${from.name} -> ${to.name}: ${ping.stdout}`);
    });
    const addresses = others.map(({ address }) => address);
    const talk = inside(from.netns, 'node', PROBE, 'talk', String(port), ...addresses);
    const [{ code, stdout, stderr }] = await Promise.all([talk, ...pings]);
    if (code !== 0 || stdout !== '') failures.push(`from ${from.name}: ${stdout}${stderr}`);
  }
  return failures;
}

/** The processes whose network namespace is the one at `namespace`, with their command lines. */
export function processesIn(namespace: string): { readonly pid: number; readonly command: string }[] {
  if (!existsSync(namespace)) return [];
  const wanted = `net:[${statSync(namespace).ino}]`;
  return processes().filter(({ pid }) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`) === wanted;
    } catch {
      return false;
    }
  });
}

function processes(): { readonly pid: number; readonly command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        return []; // ended meanwhile
      }
    });
}

/** Pulumi, and all that it has started, by their environment. */
export function processesMarked(stack: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => environmentOf(pid).includes(`FLANNEL_TS_UPDATE=${stack} in `));
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

/** Everything a stack could leave on this machine, one line each; empty when nothing is left. */
export function leftovers(stack: string): string[] {
  const prefix = `flannel.${stack}.`;
  const mark = `${STATE_DIR}/${stack}/`;
  return [
    ...(existsSync('/run/netns') ? readdirSync('/run/netns') : [])
      .filter((name) => name.startsWith(prefix))
      .map((name) => `namespace ${name}`),
    ...(existsSync(join(STATE_DIR, stack)) ? [`directory ${join(STATE_DIR, stack)}`] : []),
    ...processes()
      .filter(({ command }) => command.includes(mark) || command.includes(`/run/netns/${prefix}`))
      .map(({ pid, command }) => `process ${pid} ${command}`),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(prefix) || line.includes(mark))
      .map((line) => `mount ${line}`),
    ...(existsSync(join(REPOSITORY, 'stacks', `Pulumi.${stack}.yaml`)) ? [`stack file of ${stack}`] : []),
  ];
}

/** The host's own network, to be compared before and after: a line for each link, address, route and rule. */
export function hostNetwork(): string[] {
  return ['-o link', '-o addr', 'route show table all', 'rule']
    .map((object) => spawnSync('ip', object.split(' '), { encoding: 'utf8' }).stdout)
    .join('\n')
    .replaceAll(/(valid_lft|preferred_lft|expires) \S+/g, '')
    .split('\n');
}

export async function until(what: string, condition: () => Promise<boolean> | boolean, seconds = 30): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

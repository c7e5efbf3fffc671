/** The plugin's resident process: that it answers, and that every call is answered as well when it cannot, or dies in the middle. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type CniNode, compileResident, eachOnFreshNode, inside, link, NOTHING, sh } from './support/cni-plugin.ts';
import type { ResidentMounts } from './support/cni-resident.ts';

jest.setTimeout(120_000);

let node: CniNode;
let pod: string;
let mounts: ResidentMounts;
/** Of the node's network namespace. */
let netns: string;

eachOnFreshNode(compileResident, (fresh) => {
  node = fresh;
  pod = node.addPod();
  mounts = node.program.resident!;
  netns = inside(node.host, 'stat', '-Lc%i', '/proc/self/ns/net').trim();
});

/** Too little for the runtime to start in, which is answered by nothing but the resident process then. */
const withoutRuntime = () => ['prlimit', `--as=${512 << 20}`, ...node.program.command];
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`);

async function until(what: string, look: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !look(); ) {
    if (Date.now() > end) throw new Error(`${what}: not within a minute`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('it answers ADD, CHECK and DEL with what the plugin says itself', () => {
  const conf = { cniVersion: '1.0.0' };
  const program = withoutRuntime();
  const added = node.run('ADD', { pod, conf, program });
  expect([added.code, added.stderr]).toEqual([0, '']);
  expect(added.json.ips).toEqual([{ address: '10.244.1.2/24', gateway: '10.244.1.1', interface: 2 }]);
  expect(link(pod, 'eth0')?.flags).toContain('UP');
  expect(node.run('CHECK', { pod, conf: { ...conf, prevResult: added.json }, program }).code).toBe(0);
  const again = node.run('ADD', { pod, conf, program });
  expect([again.code, again.json.code]).toEqual([1, 101]);
  expect(node.run('DEL', { pod, conf, program }).code).toBe(0);
  expect(node.remains()).toEqual(NOTHING);
});

test('without it, the same call starts the plugin', () => {
  mounts.end(netns);
  const refused = node.run('ADD', { pod, program: withoutRuntime() });
  expect(refused.code).not.toBe(0);
  expect(node.remains()).toEqual(NOTHING);
  node.attach({ pod });
  expect(node.del({ pod }).code).toBe(0);
});

test('one that is stopped keeps nobody waiting for long, and does nothing of what it has missed', async () => {
  const pid = mounts.await(netns);
  process.kill(pid, 'SIGSTOP');
  node.attach({ pod });
  process.kill(pid, 'SIGCONT');
  expect(node.run('DEL', { pod, program: withoutRuntime() }).code).toBe(0);
  expect(node.remains()).toEqual(NOTHING);
});

test('a call that it may have to wait in, it leaves to the plugin', () => {
  const ipam = { type: 'static', addresses: [{ address: '10.9.9.9/24' }] };
  const foreign = { pod, conf: { ipam } };
  expect(node.run('ADD', { ...foreign, program: withoutRuntime() }).code).not.toBe(0);
  expect(node.attach(foreign).ips[0].address).toBe('10.9.9.9/24');
  expect(node.del(foreign).code).toBe(0);
  expect(node.remains()).toEqual(NOTHING);
});

test('a caller who sees other files is not answered by it', () => {
  const [nsenter, mount, file] = node.program.command;
  const elsewhere = ['prlimit', `--as=${512 << 20}`, nsenter!, mount!, 'unshare', '--mount', file!];
  expect(node.run('ADD', { pod, program: elsewhere }).code).not.toBe(0);
  expect(node.remains()).toEqual(NOTHING);
});

/** Kills the process before its k-th call of a name. Resolves as soon as it is watched. */
async function killBefore(pid: number, name: string, k: number): Promise<ChildProcess> {
  const options = ['-p', `${pid}`, '-e', `trace=${name}`, '-e', `inject=${name}:signal=KILL:when=${k}`];
  const strace = spawn('strace', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  strace.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await until('strace attaches', () => said.includes('attached'));
  return strace;
}

// An ADD sends READY, then 20 requests by netlink, the last ones for masquerading; linkat makes its files.
test.each([
  ['linkat', 1],
  ['linkat', 2],
  ['sendto', 2],
  ['sendto', 5],
  ['sendto', 9],
  ['sendto', 13],
  ['write', 1],
])('#41 killed before its %s number %d of an ADD, it leaves an error, and DEL leaves nothing', async (name, k) => {
  node.writeEnv({ FLANNEL_IPMASQ: 'false' });
  const strace = await killBefore(mounts.await(netns), name, k);
  const { code, json } = node.add({ pod });
  expect([code, json.code, json.msg]).toEqual([1, 11, "the plugin's resident process ended or did not answer"]);
  strace.kill('SIGKILL');
  expect(node.del({ pod }).code).toBe(0);
  expect([node.remains(), link(pod, 'eth0')]).toEqual([NOTHING, undefined]);
  node.attach({ pod });
  expect(node.del({ pod }).code).toBe(0);
});

test('#41 whoever called it may be killed: DEL leaves nothing', async () => {
  for (let i = 0; i < 15; i++) {
    const adding = node.start('ADD', { pod, id: `c${i}` });
    await new Promise((resolve) => setTimeout(resolve, i));
    adding.kill();
    await adding.done;
    expect(node.del({ pod, id: `c${i}` }).code).toBe(0);
    await until('nothing is left', () => JSON.stringify(node.remains()) === JSON.stringify(NOTHING));
  }
});

test('#38 50 at once', async () => {
  const pods = Array.from({ length: 50 }, () => node.addPod());
  const all = (command: string) => Promise.all(pods.map((pod) => node.start(command, { pod }).done));
  const added = await all('ADD');
  expect(added.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
  expect(new Set(added.map(({ json }) => json.ips[0].address)).size).toBe(50);
  const removed = await all('DEL');
  expect(removed.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
  expect(node.remains()).toEqual(NOTHING);
});

// CI takes fewer; CNI_CYCLES=1000 is the whole of it (docs/testing.md).
test('#30 many cycles of ADD and DEL leave everything as it was, in its memory, too', async () => {
  const cycles = Number(process.env.CNI_CYCLES ?? 100);
  const V6 = { FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' };
  node.writeEnv({ ...V6, FLANNEL_IPMASQ: 'false' });
  const withPort = (hostPort: number) => {
    const portMappings = ['tcp', 'udp'].map((protocol) => ({ hostPort, containerPort: 80, protocol }));
    return { capabilities: { portMappings: true }, runtimeConfig: { portMappings } };
  };
  // Who stays keeps what is its own.
  node.attach({ pod: node.addPod(), conf: withPort(8080) });
  const pid = mounts.await(netns);
  const cycle = (i: number): void => {
    const conf = i % 10 === 0 ? withPort(8081) : {};
    const call = { pod, id: `cycle${i}`, conf, program: withoutRuntime() };
    node.attach(call);
    expect(node.del(call)).toMatchObject({ code: 0, stderr: '' });
  };
  const state = () => ({
    files: readdirSync(node.directory, { recursive: true }).sort(),
    links: [node.host, pod].map((each) => inside(each, 'ip', '-br', 'link')),
    ruleset: inside(node.host, 'nft', '--stateless', 'list', 'ruleset'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  });
  /** KiB of its own, without the executable. */
  const memory = (): number => Number(/RssAnon:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  for (let i = 0; i < 20; i++) cycle(i);
  const before = state();
  const memoryBefore = memory();
  for (let i = 0; i < cycles; i++) cycle(20 + i);
  expect(mounts.await(netns)).toBe(pid);
  // It may be about to close the last connection.
  await until('descriptors are closed', () => readdirSync(`/proc/${pid}/fd`).length <= before.descriptors);
  expect(state()).toEqual(before);
  // Its collector lets the heap grow by half of this before it does anything.
  expect(memory() - memoryBefore).toBeLessThan(24 * 1024);
}, 900_000);

test('it ends when its directory is removed, and none is started where there is no directory', async () => {
  const pid = mounts.await(netns);
  const own = readdirSync(mounts.directory).filter((name) => name.startsWith(`net:[${netns}]`));
  for (const name of own) rmSync(path.join(mounts.directory, name));
  await until('it ends', () => !isAlive(pid));
  // With another subnet file than the node's own, nobody makes the directory.
  sh(...(node.program.command.slice(0, 2) as ['nsenter', string]), 'rm', '-r', '/run/flannel/cni');
  try {
    node.attach({ pod });
    expect(node.del({ pod }).code).toBe(0);
    expect(existsSync(mounts.directory)).toBe(false);
  } finally {
    sh(...(node.program.command.slice(0, 2) as ['nsenter', string]), 'mkdir', '-m', '700', '/run/flannel/cni');
  }
});

test('it removes what is left of pods that nobody has deleted, and of no others', async () => {
  const [nsenter, mount] = node.program.command;
  const there = (...command: string[]): string => sh(nsenter!, mount!, ...command);
  node.writeEnv({ FLANNEL_IPMASQ: 'false' });
  there('cp', node.file('subnet.env'), '/run/flannel/subnet.env');
  const conf = { subnetFile: '/run/flannel/subnet.env', delegate: { isDefaultGateway: true } };
  const [gone, unlinked, young] = [node.addPod(), node.addPod(), node.addPod()];
  for (const each of [pod, gone, unlinked, young]) node.attach({ pod: each, conf });
  // The interface of a pod that lives may be away.
  inside(unlinked, 'ip', 'link', 'delete', 'eth0');
  for (const each of [gone, young]) sh('ip', 'netns', 'delete', each);
  await until('interfaces are gone', () => node.ports().length === 1);
  const notes = there('grep', '-l', '.', '-r', '/run/flannel/cni-attachments').trim().split('\n');
  expect(notes).toHaveLength(4);
  for (const note of notes) {
    const text = there('cat', note);
    if (text.includes(young)) continue;
    const older = text.replace(/"madeAt":(\d+)/, (_all, at) => `"madeAt":${Number(at) - 10 * 60_000}`);
    expect(older).not.toBe(text);
    there('sh', '-c', `printf %s '${older}' > ${note}`);
  }
  // One that has just started looks around as soon as it is quiet.
  mounts.end(netns);
  expect(node.del({ pod: 'nobody', netns: '', conf }).code).toBe(0);
  await until('the orphan is removed', () => node.scratch().length === 3);
  expect(node.reserved()).toHaveLength(3);
  const ofUs = (text: string) => [pod, gone, unlinked, young].map((each) => text.includes(each));
  expect(ofUs(node.scratch().join(' '))).toEqual([true, false, true, true]);
  const entries = () => inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni').match(/comment/g)?.length;
  await until('entries without an interface are removed', () => entries() === 1);
  for (const each of [pod, unlinked, young]) expect(node.del({ pod: each, netns: '', conf }).code).toBe(0);
  expect(node.remains()).toEqual(NOTHING);
  expect(there('ls', '/run/flannel/cni-attachments').trim()).toBe('');
});

test('on a node whose subnet file is flanneld’s own, the first call makes the directory and starts it; not with "resident": false', () => {
  const [nsenter, mount] = node.program.command;
  const there = (...command: string[]): string => sh(nsenter!, mount!, ...command);
  mounts.end(netns);
  there('rm', '-r', '/run/flannel/cni');
  there('cp', node.file('subnet.env'), '/run/flannel/subnet.env');
  const own = { pod, conf: { subnetFile: '/run/flannel/subnet.env' } };
  node.attach({ ...own, conf: { ...own.conf, resident: false } });
  expect(node.del({ ...own, conf: { ...own.conf, resident: false } }).code).toBe(0);
  expect(existsSync(mounts.directory)).toBe(false);
  node.attach(own);
  expect(there('stat', '-c%a %u', '/run/flannel/cni').trim()).toBe('700 0');
  expect(isAlive(mounts.await(netns))).toBe(true);
  expect(readFileSync(`/proc/${mounts.await(netns)}/cmdline`, 'utf8')).toContain('--resident');
  expect(node.run('DEL', { ...own, program: withoutRuntime() }).code).toBe(0);
});

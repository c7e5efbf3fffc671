import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ToolError } from './errors.mjs';
import { findProgram, run } from './exec.mjs';
import { say, step } from './progress.mjs';

/**
 * @typedef {'run' | 'kubernetes' | 'test' | 'bench'} Purpose
 * @typedef {object} DebianPackage
 * @property {string} name
 * @property {string} program on PATH, or an absolute path: what tells that it is there, Debian or not
 * @property {string} why
 * @property {readonly Purpose[]} purposes
 */

/** @type {readonly DebianPackage[]} */
export const PACKAGES = [
  { name: 'etcd-server', program: 'etcd', why: "etcd, flannel's store", purposes: ['run', 'test', 'bench'] },
  { name: 'etcd-client', program: 'etcdctl', why: 'to look into etcd', purposes: ['run', 'test', 'bench'] },
  { name: 'nftables', program: 'nft', why: 'masquerading', purposes: ['run', 'test', 'bench'] },
  { name: 'iptables', program: 'iptables', why: 'tests set up firewalls with it', purposes: ['test'] },
  { name: 'iputils-ping', program: 'ping', why: 'who reaches whom', purposes: ['run', 'test', 'bench'] },
  { name: 'iproute2', program: 'ip', why: 'to look at links and routes', purposes: ['run', 'test', 'bench'] },
  { name: 'util-linux', program: 'nsenter', why: 'to enter namespaces', purposes: ['run', 'test', 'bench'] },
  { name: 'curl', program: 'curl', why: 'nodes fetch their software with it', purposes: ['run', 'test', 'bench'] },
  { name: 'groff-base', program: 'groff', why: 'tests format the manual page', purposes: ['test'] },
  { name: 'tcpdump', program: 'tcpdump', why: 'tests look at packets', purposes: ['test'] },
  { name: 'iperf3', program: 'iperf3', why: 'throughput is measured with it', purposes: ['test', 'bench'] },
  { name: 'qemu-system-x86', program: 'qemu-system-x86_64', why: 'tests boot other kernels', purposes: ['test'] },
  {
    name: 'busybox-static',
    program: 'busybox',
    why: 'all that the smallest images and kernels hold',
    purposes: ['kubernetes', 'test'],
  },
  { name: 'mmdebstrap', program: 'mmdebstrap', why: 'tests boot a Debian', purposes: ['test'] },
  { name: 'containerd', program: 'containerd', why: 'to run containers', purposes: ['kubernetes', 'test'] },
  { name: 'runc', program: 'runc', why: 'containerd runs containers by it', purposes: ['kubernetes', 'test'] },
  {
    name: 'containernetworking-plugins',
    program: '/usr/lib/cni/bridge',
    why: 'the reference CNI plugins, to compare with; containerd needs loopback',
    purposes: ['kubernetes', 'test', 'bench'],
  },
  { name: 'strace', program: 'strace', why: 'to kill a program before a given system call', purposes: ['test'] },
];

/** Debian's way of keeping a package from starting its service: invoke-rc.d(8). */
const POLICY_FILE = '/usr/sbin/policy-rc.d';
const POLICY_MARK = '# flannel-ts set-up: services are started by the stack, not by the system';
const POLICY = `#!/bin/sh\n${POLICY_MARK}\nexit 101\n`;
/** What the packages ask the system to start, now and at every boot. */
const SERVICES = { 'etcd-server': 'etcd', containerd: 'containerd' };
const APT_OPTIONS = ['-o', 'DPkg::Lock::Timeout=600', '-o', 'APT::Color=0'];

/**
 * @param {import('./context.mjs').Context} context
 * @param {ReadonlySet<Purpose>} purposes
 * @returns {DebianPackage[]}
 */
export function missingPackages(context, purposes) {
  return PACKAGES.filter(({ program, purposes: theirs }) => {
    if (!theirs.some((purpose) => purposes.has(purpose))) return false;
    return program.startsWith('/') ? !existsSync(program) : findProgram(program, context.env) === undefined;
  });
}

/**
 * @param {import('./context.mjs').Context} context
 * @param {ReadonlySet<Purpose>} purposes
 * @returns {import('./npm.mjs').Change | undefined}
 */
export function planPackages(context, purposes) {
  const missing = missingPackages(context, purposes);
  if (missing.length === 0) return undefined;
  const list = missing.map(({ name, why }) => `${name} (${why})`).join(', ');
  return { what: `the system: install the Debian packages ${list}`, apply: () => installPackages(context, missing) };
}

/**
 * @param {import('./context.mjs').Context} context
 * @param {readonly Pick<DebianPackage, 'name' | 'program'>[]} packages
 */
export async function installPackages(context, packages) {
  const names = packages.map(({ name }) => name);
  if (findProgram('apt-get', context.env) === undefined) {
    const programs = packages.map(({ program }) => program).join(', ');
    throw new ToolError(
      'PACKAGES',
      `This system has no apt-get: install ${programs} with its own package manager (in Debian: ${names.join(' ')})`,
    );
  }
  await step(`Installing ${names.join(', ')}`, async (detail) => {
    const env = { ...context.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (/** @type {string[]} */ ...args) => run('apt-get', [...APT_OPTIONS, ...args], { env, onLine: detail });
    const get = () => apt('install', '--yes', '--no-install-recommends', ...names);
    await withoutServices(async () => {
      // The lists may be old, or, in a container, not there at all.
      await get().catch(async () => {
        await apt('update');
        await get();
      });
    });
    for (const [name, service] of Object.entries(SERVICES)) if (names.includes(name)) await keepOff(context, service);
  });
}

/**
 * @param {() => Promise<void>} work
 */
async function withoutServices(work) {
  const present = existsSync(POLICY_FILE);
  // One of ours may have been left by a set-up that was killed.
  const ours = !present || readFileSync(POLICY_FILE, 'utf8').includes(POLICY_MARK);
  const remove = () => rmSync(POLICY_FILE, { force: true });
  if (ours) {
    writeFileSync(POLICY_FILE, POLICY, { mode: 0o755 });
    process.once('exit', remove);
  }
  try {
    await work();
  } finally {
    if (ours) {
      remove();
      process.off('exit', remove);
    }
  }
}

/**
 * It was not there before, so nobody but us wants it.
 * @param {import('./context.mjs').Context} context
 * @param {string} service
 */
async function keepOff(context, service) {
  const env = context.env;
  const running = existsSync('/run/systemd/system');
  if (findProgram('systemctl', env)) {
    // Without a running systemd this still removes the links that would start it at boot.
    await run('systemctl', ['disable', ...(running ? ['--now'] : []), service], { env }).catch(sayWhy);
  } else if (findProgram('update-rc.d', env)) {
    await run('service', [service, 'stop'], { env }).catch(() => undefined);
    await run('update-rc.d', [service, 'disable'], { env }).catch(sayWhy);
  }
}

/** @param {Error} error */
function sayWhy(error) {
  say(`One of Debian's services may start at boot: ${error.message}`);
}

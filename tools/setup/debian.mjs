import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ToolError } from './errors.mjs';
import { findProgram, run } from './exec.mjs';
import { say, step } from './progress.mjs';

/**
 * @typedef {'run' | 'test' | 'bench'} Purpose
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
  { name: 'busybox-static', program: 'busybox', why: 'tests boot other kernels', purposes: ['test'] },
  { name: 'mmdebstrap', program: 'mmdebstrap', why: 'tests boot a Debian', purposes: ['test'] },
  {
    name: 'containernetworking-plugins',
    program: '/usr/lib/cni/bridge',
    why: 'the reference CNI plugins, to compare with',
    purposes: ['test', 'bench'],
  },
];

/** Debian's way of keeping a package from starting its service: invoke-rc.d(8). */
const POLICY_FILE = '/usr/sbin/policy-rc.d';
const POLICY_MARK = '# flannel-ts set-up: etcd is started by the stack, not by the system';
const POLICY = `#!/bin/sh\n${POLICY_MARK}\nexit 101\n`;
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
    if (names.includes('etcd-server')) await keepEtcdOff(context);
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
 * The package asks the system to start etcd now and at every boot. It was not there before, so nobody but us wants that.
 * @param {import('./context.mjs').Context} context
 */
async function keepEtcdOff(context) {
  const env = context.env;
  const running = existsSync('/run/systemd/system');
  if (findProgram('systemctl', env)) {
    // Without a running systemd this still removes the links that would start it at boot.
    await run('systemctl', ['disable', ...(running ? ['--now'] : []), 'etcd'], { env }).catch(sayWhy);
  } else if (findProgram('update-rc.d', env)) {
    await run('service', ['etcd', 'stop'], { env }).catch(() => undefined);
    await run('update-rc.d', ['etcd', 'disable'], { env }).catch(sayWhy);
  }
}

/** @param {Error} error */
function sayWhy(error) {
  say(`Debian's own etcd service may start at boot: ${error.message}`);
}

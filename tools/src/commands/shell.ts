import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { listStackAddresses, type NamedAddress } from '@flannel-ts/infra/local/host/addresses';
import { machineRoot, NETNS_ROOT, netnsPath, parseNetnsName } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { flag } from '../pulumi/names.ts';

/** A command, or a shell, in the network of a machine or pod, where the names of the stack's machines and pods resolve. */
export async function shell({ env }: Context, { stack, words: [part = '', ...rest] }: Options): Promise<number> {
  const netns = netnsPath(stack, part);
  if (!/^[a-z0-9-]+$/.test(part) || !existsSync(netns)) throw noPart(stack, part, rest);
  const command = rest[0] === '--' ? rest.slice(1) : rest;
  const directory = mkdtempSync(join(tmpdir(), 'flannel-shell-'));
  try {
    const hosts = join(directory, 'hosts');
    writeFileSync(hosts, formatHosts(readFileSync('/etc/hosts', 'utf8'), listStackAddresses(stack)));
    const inside = command.length > 0 ? command : interactiveShell(env, stack, part, directory);
    // Only the network and /etc/hosts change: "ip netns exec" would also put another /sys in the place of this one.
    const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
    const args = [`--net=${netns}`, '--', 'unshare', '--mount', 'sh', '-c', script, hosts, ...inside];
    return await runInteractive('nsenter', args, { env: { ...env, ...variablesOf(stack, part, env) } });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The machine's own names stay; the stack's come first. */
export function formatHosts(own: string, addresses: readonly NamedAddress[]): string {
  return `${addresses.map(({ name, address }) => `${address} ${name}\n`).join('')}${own}`;
}

/** With a prompt that says where one is. */
function interactiveShell(env: NodeJS.ProcessEnv, stack: string, part: string, directory: string): string[] {
  const program = env.SHELL || '/bin/sh';
  const prompt = `${part}.${stack}`;
  if (basename(program) === 'bash') {
    const file = join(directory, 'bashrc');
    writeFileSync(file, `[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='[${prompt}] '"$PS1"\n`);
    return [program, '--rcfile', file];
  }
  return ['env', `PS1=[${prompt}] # `, program];
}

function variablesOf(stack: string, part: string, { PATH }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    FLANNEL_STACK: stack,
    FLANNEL_PART: part,
    // So that the commands of flanneld in the documentation work on a node, and mean its flanneld.
    ...(/^node-\d+$/.test(part) && {
      PATH: `${join(machineRoot(stack, part), 'opt/flannel/current')}:${PATH}`,
      ...readVariables(join(machineRoot(stack, part), 'etc/flannel/flanneld.env')),
    }),
    ...(/^etcd-\d+$/.test(part) ? etcdctlVariables(stack, part) : {}),
  };
}

/** Of an environment file of systemd's as nodes have them: NAME=VALUE without quotes. */
export function parseVariables(text: string): NodeJS.ProcessEnv {
  return Object.fromEntries([...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
}

function readVariables(file: string): NodeJS.ProcessEnv {
  return existsSync(file) ? parseVariables(readFileSync(file, 'utf8')) : {};
}

/** So that plain `etcdctl get ...` works on a member. */
function etcdctlVariables(stack: string, member: string): NodeJS.ProcessEnv {
  const root = machineRoot(stack, member);
  const file = join(root, 'etc/etcd/etcd.env');
  const { ETCD_ADVERTISE_CLIENT_URLS: endpoint } = readVariables(file);
  if (!endpoint) return {};
  const tls = join(root, 'etc/etcd/tls');
  return {
    ETCDCTL_API: '3',
    ETCDCTL_ENDPOINTS: endpoint,
    ETCDCTL_CACERT: join(tls, 'ca.crt'),
    ETCDCTL_CERT: join(tls, 'admin.crt'),
    ETCDCTL_KEY: join(tls, 'admin.key'),
  };
}

function noPart(stack: string, part: string, rest: readonly string[]): ToolError {
  const names = existsSync(NETNS_ROOT) ? readdirSync(NETNS_ROOT) : [];
  const parts = names
    .map(parseNetnsName)
    .filter((name) => name?.stack === stack)
    .map((name) => name!.part)
    .sort();
  if (parts.length > 0) {
    return new ToolError('NO_PART', `Stack "${stack}" has no "${part}": use one of ${parts.join(', ')}`);
  }
  const misplaced = rest.some((word) => word === '-s' || word.startsWith('--stack'));
  const remedy = misplaced
    ? `put -s NAME before "${part}"`
    : `"npm run up${flag(stack)}" creates it, "npm run stacks" lists those that exist`;
  return new ToolError('NO_PART', `Stack "${stack}" does not exist on this machine: ${remedy}`);
}

/** etcd's own client, run on a member with the administrator's certificate. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { netnsExists } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import { machineRoot, netnsPath } from '../names.ts';
import { runCommand } from './command.ts';
import { assertNotInterrupted } from './interrupt.ts';
import { messageOf } from './resource.ts';

/** Where to run it, and which members to ask. */
export interface EtcdAccess {
  readonly stack: string;
  /** The member's machine. */
  readonly machine: string;
  readonly endpoints: readonly string[];
}

export interface Member {
  readonly id: string;
  /** Empty until the member has started for the first time. */
  readonly name: string;
  readonly peerUrl: string;
}

const TIMEOUT_MS = 5_000;

export async function etcdctl(
  access: EtcdAccess,
  args: readonly string[],
  attempt: string,
  input?: string,
): Promise<string> {
  const { stack, machine, endpoints } = access;
  const tls = `${machineRoot(stack, machine)}/etc/etcd/tls`;
  const { code, stdout, stderr } = await runCommand(['etcdctl', ...args, '--write-out=json'], {
    netns: netnsPath(stack, machine),
    environment: {
      ETCDCTL_API: '3',
      ETCDCTL_ENDPOINTS: endpoints.join(','),
      ETCDCTL_CACERT: `${tls}/ca.crt`,
      ETCDCTL_CERT: `${tls}/admin.crt`,
      ETCDCTL_KEY: `${tls}/admin.key`,
      ETCDCTL_DIAL_TIMEOUT: '2s',
      ETCDCTL_COMMAND_TIMEOUT: '4s',
    },
    timeoutMs: TIMEOUT_MS,
    ...(input !== undefined && { input }),
  });
  if (code === 0) return stdout;
  // Its last line says it; those before are a log in JSON.
  const said =
    stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^Error: /, '') || `no answer from ${endpoints.join(', ')}`;
  throw new InfraError('COMMAND_FAILED', `Cannot ${attempt}: ${said}`);
}

/** Whether there is a machine at all from which to ask. */
export function canAsk({ stack, machine }: EtcdAccess): boolean {
  return netnsExists(netnsPath(stack, machine)) && existsSync(`${machineRoot(stack, machine)}/etc/etcd/tls/admin.key`);
}

export async function listMembers(access: EtcdAccess): Promise<Member[]> {
  const answer = JSON.parse(quoteIds(await etcdctl(access, ['member', 'list'], 'list the etcd members'))) as {
    members: { ID: string; name?: string; peerURLs: string[] }[];
  };
  return answer.members.map(({ ID, name, peerURLs }) => ({
    id: BigInt(ID).toString(16),
    name: name ?? '',
    peerUrl: peerURLs[0]!,
  }));
}

export async function removeMember(access: EtcdAccess, member: Member): Promise<void> {
  await etcdctl(access, ['member', 'remove', member.id], `remove etcd member ${member.name || member.peerUrl}`);
}

export async function addMember(access: EtcdAccess, name: string, peerUrl: string): Promise<void> {
  await etcdctl(access, ['member', 'add', name, `--peer-urls=${peerUrl}`], `add etcd member ${name}`);
}

export async function putKey(access: EtcdAccess, key: string, value: string): Promise<void> {
  await etcdctl(access, ['put', key], `write ${key} to etcd`, value);
}

export async function getKey(access: EtcdAccess, key: string): Promise<string | undefined> {
  const answer = JSON.parse(quoteIds(await etcdctl(access, ['get', key], `read ${key} from etcd`))) as {
    kvs?: { value: string }[];
  };
  const value = answer.kvs?.[0]?.value;
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
}

export async function deleteKeys(access: EtcdAccess, prefix: string): Promise<void> {
  await etcdctl(access, ['del', '--prefix', prefix], `delete ${prefix} from etcd`);
}

/** Tries until it works: a cluster that has just been started elects its leader first. */
export async function retrying<T>(attempt: () => Promise<T>, timeoutMs: number): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() + pause > deadline) throw error;
      assertNotInterrupted(`etcd: ${messageOf(error)}`);
      await sleep(pause);
    }
  }
}

/** etcdctl prints 64-bit ids as JSON numbers, of which JavaScript would lose the last digits. */
function quoteIds(json: string): string {
  return json.replace(/:(\d{16,})/g, ':"$1"');
}

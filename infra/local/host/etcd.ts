/** An etcd member, and the keys of the cluster that the stack looks after. */
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { netnsExists } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import { type BootFile, etcdInitialCluster, etcdInitialFile, type Unit } from '../../node/files.ts';
import { machineRoot, netnsPath } from '../names.ts';
import {
  addMember,
  canAsk,
  deleteKeys,
  type EtcdAccess,
  getKey,
  listMembers,
  type Member,
  putKey,
  removeMember,
  retrying,
} from './etcdctl.ts';
import { bootFileProblem, pruneEmpty, writeBootFiles, writeWhole } from './files.ts';
import { ABSENT, handler, messageOf } from './resource.ts';
import {
  configHash,
  ensureRunning,
  mark,
  type ServiceSpec,
  serviceProblem,
  stopRunning,
  waitForService,
} from './supervision.ts';

export interface PlannedMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

export interface EtcdMemberInputs {
  readonly stack: string;
  readonly machine: string;
  /** The machine's id: the member goes with it. */
  readonly host: string;
  readonly files: readonly BootFile[];
  readonly secretFiles: readonly BootFile[];
  readonly unit: Unit;
  /** All members that there are to be. */
  readonly members: readonly PlannedMember[];
}

const READY_MS = 60_000;
/** One that has been running, and one with keys, need not start, form a cluster or read its data first. */
const RUNNING_MS = 15_000;
const LEAVE_MS = 10_000;

export const etcdMember = handler<EtcdMemberInputs, object>({
  id: ({ host }) => host,
  identity: ['stack', 'machine', 'host'],
  async ensure(inputs) {
    const spec = serviceOf(inputs);
    writeBootFiles([...inputs.files, ...inputs.secretFiles]);
    // Without a quorum a member answers but is never ready: the first ones of a new cluster must not wait for the others.
    const forming = !hasData(inputs) && (await introduce(inputs)) === 'new' && inputs.members.length > 1;
    const since = mark(spec);
    const limit = (await ensureRunning(spec)) === 'started' ? READY_MS : RUNNING_MS;
    await waitForService(spec, forming ? 'answering' : 'ready', limit, since);
    return {};
  },
  async observe(props) {
    const root = machineRoot(props.stack, props.machine);
    if (!existsSync(root) || !netnsExists(netnsPath(props.stack, props.machine))) return ABSENT;
    const problems = [...props.files, ...props.secretFiles].map(bootFileProblem);
    const drift = problems.find((problem) => problem !== undefined) ?? serviceProblem(serviceOf(props));
    return { present: true, ...(drift && { drift }) };
  },
  async remove(props) {
    await leave(props);
    await stopRunning(serviceOf(props));
    const root = machineRoot(props.stack, props.machine);
    rmSync(root, { recursive: true, force: true });
    pruneEmpty(dirname(root));
  },
});

/**
 * Tells a member that starts without data how to begin: in a new cluster with all that are planned, or in the one that
 * is there. One that has lost its data must join as another member, or it would break promises it no longer knows of.
 */
async function introduce(inputs: EtcdMemberInputs): Promise<'new' | 'existing'> {
  const self = inputs.members.find(({ name }) => name === inputs.machine)!;
  const present = await currentMembers(inputs);
  const write = (state: 'new' | 'existing', members: readonly { name: string; peerUrl: string }[]) => {
    writeWhole(etcdInitialFile(rootOf(inputs)), etcdInitialCluster(state, members), 0o644);
    return state;
  };
  if (present === undefined) return write('new', inputs.members);
  const access = accessFor(inputs);
  const earlier = present.find(({ peerUrl }) => peerUrl === self.peerUrl);
  if (earlier === undefined || earlier.name !== '') {
    if (earlier !== undefined) await removeMember(access, earlier);
    await retrying(() => addMember(access, self.name, self.peerUrl), READY_MS);
  }
  const others = present.filter(({ peerUrl }) => peerUrl !== self.peerUrl);
  return write('existing', [...others.map((member) => named(member, inputs)), self]);
}

/** A member that was added but has not started has no name yet; the plan knows it. */
function named(member: Member, { members }: EtcdMemberInputs): { name: string; peerUrl: string } {
  const planned = members.find(({ peerUrl }) => peerUrl === member.peerUrl);
  return { name: member.name || planned?.name || member.id, peerUrl: member.peerUrl };
}

/** The members as the cluster knows them; undefined when there is no cluster that could answer. */
async function currentMembers(inputs: EtcdMemberInputs): Promise<Member[] | undefined> {
  const access = accessFor(inputs);
  if (!someOtherRuns(inputs)) return undefined;
  return listMembers(access).catch(() => undefined);
}

function someOtherRuns({ stack, machine, members }: EtcdMemberInputs): boolean {
  return members.some(({ name }) => name !== machine && existsSync(`${machineRoot(stack, name)}/var/lib/etcd/member`));
}

/** Takes the member out of its cluster while it still runs: a cluster of two could not decide it with one. */
async function leave(props: EtcdMemberInputs): Promise<void> {
  const access = accessFor(props);
  if (!someOtherRuns(props) || !canAsk(access)) return;
  const peerUrl = props.members.find(({ name }) => name === props.machine)?.peerUrl;
  try {
    const member = (await listMembers(access)).find((candidate) => candidate.peerUrl === peerUrl);
    // After every change the cluster wants its members to have been together for five seconds (etcd's HealthInterval).
    if (member !== undefined) await retrying(() => removeMember(access, member), LEAVE_MS);
  } catch (error) {
    // Others of the cluster may be gone already, and then nobody is left to ask.
    process.stderr.write(`${props.machine} could not leave its cluster: ${messageOf(error)}\n`);
  }
}

/** Asks the others, from this member's machine. */
function accessFor({ stack, machine, members }: EtcdMemberInputs): EtcdAccess {
  return {
    stack,
    machine,
    endpoints: members.filter(({ name }) => name !== machine).map(({ clientUrl }) => clientUrl),
  };
}

function hasData(inputs: EtcdMemberInputs): boolean {
  return existsSync(`${rootOf(inputs)}/var/lib/etcd/member`);
}

function rootOf({ stack, machine }: EtcdMemberInputs): string {
  return machineRoot(stack, machine);
}

function serviceOf(inputs: EtcdMemberInputs): ServiceSpec {
  const { stack, machine, files, secretFiles, unit } = inputs;
  return { stack, machine, root: rootOf(inputs), unit, configHash: configHash(unit, [...files, ...secretFiles]) };
}

export interface EtcdKeyInputs {
  readonly stack: string;
  /** The member on which to run etcdctl. */
  readonly machine: string;
  /** Its id: without data the key is gone. */
  readonly host: string;
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly key: string;
  readonly value: string;
}

export interface EtcdKeyOutputs {
  /**
   * Another text whenever the key had to be made anew: the cluster has lost its data then, and who has written to it must
   * write again. (etcd's own cluster id would be the same: it is a hash of the members' URLs.)
   */
  readonly generation: string;
}

export const etcdKey = handler<EtcdKeyInputs, EtcdKeyOutputs>({
  id: ({ stack, key }) => `${stack}${key}`,
  identity: ['stack', 'key', 'prefix'],
  ignored: ['endpoints', 'machine'],
  async ensure(inputs, old) {
    await retrying(() => putKey(inputs, inputs.key, inputs.value), old ? RUNNING_MS : READY_MS).catch((error) => {
      // What was sent to a member that hangs is done when it goes on.
      throw new InfraError(
        'NOT_READY',
        `${messageOf(error)}; nodes go on by the value that etcd has, and follow the new one if etcd takes it after all`,
      );
    });
    return { generation: old?.generation || randomUUID() };
  },
  async observe(props) {
    if (!canAsk(props)) return ABSENT;
    try {
      const value = await getKey(props, props.key);
      if (value === undefined) return ABSENT;
      return value === props.value ? { present: true } : { present: true, drift: `${props.key} was changed` };
    } catch (error) {
      return { present: true, drift: messageOf(error) };
    }
  },
  async remove(props) {
    if (!canAsk(props)) return;
    await deleteKeys(props, props.prefix).catch((error) => {
      process.stderr.write(`${messageOf(error)}\n`); // with the cluster the keys go too
    });
  },
});

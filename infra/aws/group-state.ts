/** Whether an Auto Scaling group has become what it was told to be: the provider starts a refresh, and waits for nothing. */
import { InfraError } from '../errors.ts';
import type { Aws } from './cli.ts';
import { Poll, type PollOptions } from './poll.ts';

export interface GroupInstance {
  readonly InstanceId: string;
  readonly LifecycleState: string;
  readonly HealthStatus: string;
  readonly LaunchTemplate?: { readonly Version: string };
}

/** As describe-auto-scaling-groups has it. */
export interface GroupDescription {
  readonly DesiredCapacity: number;
  readonly Instances: readonly GroupInstance[];
}

/** As describe-instance-refreshes has it, the last one first. */
export interface Refresh {
  readonly Status: string;
  readonly StatusReason?: string;
}

const UNDER_WAY = ['Pending', 'InProgress', 'Cancelling', 'RollbackInProgress', 'Baking'];
/** Until a refresh that was just asked for is seen. */
const UNSEEN_SECONDS = 60;
/** For the whole, and for each node: its boot, and its place in the row. */
const WAIT_SECONDS = 1200;
const NODE_SECONDS = 180;

export type Judgement =
  | { readonly state: 'settled' | 'under way' }
  /** Nothing that is under way leads there. */
  | { readonly state: 'idle' | 'failed'; readonly reason: string };

/** Of a group whose machines are all to be of this version of their launch template. */
export function judge(group: GroupDescription, refreshes: readonly Refresh[], version: string): Judgement {
  const [last] = refreshes;
  if (last !== undefined && UNDER_WAY.includes(last.Status)) return { state: 'under way' };
  const others = group.Instances.filter(({ LaunchTemplate }) => LaunchTemplate?.Version !== version);
  if (others.length > 0) {
    const names = others.map(({ InstanceId }) => InstanceId).join(', ');
    const still = `${others.length} of ${group.Instances.length} nodes are not of version ${version} of the launch template: ${names}`;
    if (last === undefined || last.Status === 'Successful') return { state: 'idle', reason: still };
    const why = last.StatusReason === undefined ? '' : ` (${last.StatusReason})`;
    return { state: 'failed', reason: `the instance refresh ended as ${last.Status}${why}; ${still}` };
  }
  const serving = group.Instances.filter(
    ({ LifecycleState, HealthStatus }) => LifecycleState === 'InService' && HealthStatus === 'Healthy',
  );
  const whole = serving.length === group.DesiredCapacity && serving.length === group.Instances.length;
  return { state: whole ? 'settled' : 'under way' };
}

export interface Wanted {
  readonly group: string;
  readonly version: string;
  readonly count: number;
}

export async function untilSettled(
  aws: Aws,
  { group, version, count }: Wanted,
  options: PollOptions = {},
): Promise<void> {
  const poll = new Poll(WAIT_SECONDS + count * NODE_SECONDS, options);
  let idleSince: number | undefined;
  await poll.until(async () => {
    const judgement = judge(await describe(aws, group), await refreshesOf(aws, group), version);
    idleSince = judgement.state === 'idle' ? (idleSince ?? Date.now()) : undefined;
    const idle = idleSince !== undefined && Date.now() - idleSince > UNSEEN_SECONDS * 1000;
    if ('reason' in judgement && (idle || judgement.state === 'failed')) {
      throw new InfraError('NOT_READY', `The group ${group} is not as it was told: ${judgement.reason}. ${REMEDY}`);
    }
    return judgement.state === 'settled' ? true : undefined;
  }, `The group ${group} has not become what it was told within its time: aws autoscaling describe-scaling-activities says why`);
}

/** The state believes in the version that the group has left again. */
const REMEDY = 'Nodes that are in service go on. Set what was changed back, or mend it, and run "up" with --refresh';

async function describe(aws: Aws, name: string): Promise<GroupDescription> {
  const args = ['autoscaling', 'describe-auto-scaling-groups', '--auto-scaling-group-names', name];
  const { AutoScalingGroups: groups } = (await aws(args)) as {
    readonly AutoScalingGroups: readonly GroupDescription[];
  };
  if (groups[0] === undefined) throw new InfraError('NOT_READY', `There is no group ${name}`);
  return groups[0];
}

async function refreshesOf(aws: Aws, name: string): Promise<readonly Refresh[]> {
  const args = ['autoscaling', 'describe-instance-refreshes', '--auto-scaling-group-name', name];
  return ((await aws(args)) as { readonly InstanceRefreshes: readonly Refresh[] }).InstanceRefreshes;
}

/** Auto Scaling groups, and the machines that AWS makes for them: terraform-provider-aws, internal/service/autoscaling/group.go. */
import { ACCOUNT, type Cloud, type Context, type Machine, type Resource } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind } from '../kind.ts';
import { type Bag, bags, isBag, plain, text, texts } from '../values.ts';
import { TEMPLATE } from './machines.ts';
import { freeAddress, SUBNET } from './network.ts';

export const HOOK = 'aws:autoscaling/lifecycleHook:LifecycleHook';
export const GROUP = 'aws:autoscaling/group:Group';

function admitGroup(inputs: Bag, { cloud }: Context): void {
  const { minSize, maxSize, desiredCapacity = minSize } = inputs;
  const sizes = [minSize, desiredCapacity, maxSize].map(Number);
  if (!(sizes[0]! <= sizes[1]! && sizes[1]! <= sizes[2]!)) {
    throw new ApiError(
      'ValidationError',
      `Desired capacity:${sizes[1]} must be between the specified min size:${sizes[0]} and max size:${sizes[2]}`,
    );
  }
  const subnets = texts(inputs.vpcZoneIdentifiers);
  if (subnets.length === 0 && texts(inputs.availabilityZones).length === 0) {
    throw new ApiError('ValidationError', 'At least one Availability Zone or VPC Subnet is required');
  }
  for (const id of subnets) cloud.require(SUBNET, id, 'ValidationError', 'subnet ID');
  templateOf(inputs, { cloud });
}

interface Template {
  readonly id: string;
  readonly version: string;
  readonly content: Bag;
}

function templateOf(inputs: Bag, { cloud }: Pick<Context, 'cloud'>): Template {
  const named = inputs.launchTemplate;
  if (!isBag(named)) throw new ApiError('ValidationError', 'A launch template must be specified');
  const reference = text(named, 'id') ?? text(named, 'name') ?? '';
  const template = cloud.require(TEMPLATE, reference, 'ValidationError', 'launch template');
  const asked = text(named, 'version') ?? '$Default';
  const symbolic: Readonly<Record<string, unknown>> = {
    $Default: template.outputs.defaultVersion,
    $Latest: template.outputs.latestVersion,
  };
  const version = String(symbolic[asked] ?? asked);
  const content = cloud.templates.get(template.id)?.[Number(version) - 1];
  if (content === undefined)
    throw new ApiError('ValidationError', `The launch template '${template.id}' has no version ${asked}`);
  return { id: template.id, version, content };
}

function launch(group: Resource, template: Template, subnetId: string, context: Context): void {
  const { cloud } = context;
  const interfaces = bags(template.content.networkInterfaces);
  const machine: Machine = {
    id: cloud.newId('i'),
    state: 'Pending:Wait',
    group: group.id,
    subnetId,
    address: freeAddress(subnetId, context),
    securityGroups: [
      ...texts(template.content.vpcSecurityGroupIds),
      ...interfaces.flatMap((each) => texts(each.securityGroups)),
    ],
    launchTemplate: template.id,
    launchTemplateVersion: template.version,
    tags: Object.fromEntries(
      bags(plain(group.inputs).tags)
        .filter(({ propagateAtLaunch }) => propagateAtLaunch === true)
        .map((tag) => [text(tag, 'key')!, tag.value!]),
    ),
  };
  cloud.machines.set(machine.id, machine);
}

/** Scales to the wanted number, and begins to replace those of another version; what follows takes time (`pass`). */
function settle(group: Resource, context: Context, old?: Resource): void {
  const { cloud } = context;
  const inputs = plain(group.inputs);
  const template = templateOf(inputs, context);
  const subnets = texts(inputs.vpcZoneIdentifiers);
  const wanted = Number(inputs.desiredCapacity ?? inputs.minSize);
  const mine = machinesOf(cloud, group.id);
  for (const machine of mine.slice(wanted)) machine.state = 'Terminating:Wait';
  for (let i = mine.length; i < wanted; i++) launch(group, template, subnets[i % subnets.length]!, context);
  // The provider waits for the capacity of a new group, and for nothing else.
  if (old === undefined) {
    if (isNeverReady(cloud, template) && awaitsReadiness(cloud, group)) {
      throw new ApiError(
        'timeout',
        `waiting for Auto Scaling Group (${group.id}) capacity satisfied: want at least ${wanted} healthy instance(s)`,
      );
    }
    for (const machine of machinesOf(cloud, group.id)) machine.state = 'InService';
    return;
  }
  const all = machinesOf(cloud, group.id);
  if (!isBag(inputs.instanceRefresh) || all.every((machine) => isOf(machine, template))) return;
  const refreshes = cloud.refreshes.get(group.id) ?? [];
  for (const refresh of refreshes) if (refresh.status === 'InProgress') refresh.status = 'Cancelled';
  cloud.refreshes.set(group.id, [{ status: 'InProgress', reason: '', context }, ...refreshes]);
}

function machinesOf(cloud: Cloud, group: string): Machine[] {
  return [...cloud.machines.values()].filter((machine) => machine.group === group);
}

function isOf(machine: Machine, template: Template): boolean {
  return machine.launchTemplate === template.id && machine.launchTemplateVersion === template.version;
}

/** What the test says of an artifact or another part of the user-data. */
function isNeverReady({ neverReady }: Cloud, { content }: Template): boolean {
  const userData = Buffer.from(text(content, 'userData') ?? '', 'base64').toString();
  return neverReady !== undefined && userData.includes(neverReady);
}

/** Without such a hook a machine is in service when EC2 has started it, whatever it does. */
function awaitsReadiness(cloud: Cloud, group: Resource): boolean {
  const initial = bags(plain(group.inputs).initialLifecycleHooks);
  const others = cloud.users(HOOK, 'autoscalingGroupName', group.id).map(({ inputs }) => plain(inputs));
  return [...initial, ...others].some(
    (hook) =>
      text(hook, 'lifecycleTransition') === 'autoscaling:EC2_INSTANCE_LAUNCHING' &&
      text(hook, 'defaultResult') === 'ABANDON',
  );
}

/** One step of what AWS does by itself. */
function pass(cloud: Cloud, group: Resource): void {
  for (const machine of machinesOf(cloud, group.id)) {
    if (machine.state === 'Terminating:Wait') cloud.machines.delete(machine.id);
    if (machine.state === 'Pending:Wait') machine.state = 'InService';
  }
  const refresh = cloud.refreshes.get(group.id)?.[0];
  if (refresh?.status === 'RollbackInProgress') refresh.status = 'RollbackSuccessful';
  if (refresh?.status !== 'InProgress') return;
  const template = templateOf(plain(group.inputs), { cloud });
  const outdated = machinesOf(cloud, group.id).find((machine) => !isOf(machine, template));
  if (outdated === undefined) refresh.status = 'Successful';
  else if (isNeverReady(cloud, template) && awaitsReadiness(cloud, group)) {
    refresh.reason = 'The launch of an instance was abandoned';
    refresh.status = 'RollbackInProgress';
  } else {
    const { id: name } = outdated;
    const entry = cloud.begin({ operation: 'refresh', type: GROUP, name, urn: group.urn, preview: false });
    cloud.machines.delete(name);
    launch(group, template, outdated.subnetId, refresh.context);
    cloud.end(entry);
  }
}

/** As the CLI shows it; time passes. */
export function describeGroup(cloud: Cloud, name: string): readonly unknown[] {
  const group = cloud.get(GROUP, name);
  if (group === undefined) return [];
  pass(cloud, group);
  const { desiredCapacity, minSize } = plain(group.inputs);
  const Instances = machinesOf(cloud, name).map(({ id, state, launchTemplateVersion }) => {
    return {
      InstanceId: id,
      LifecycleState: state,
      HealthStatus: 'Healthy',
      LaunchTemplate: { Version: launchTemplateVersion },
    };
  });
  return [{ AutoScalingGroupName: name, DesiredCapacity: Number(desiredCapacity ?? minSize), Instances }];
}

export function describeRefreshes(cloud: Cloud, name: string): readonly unknown[] {
  return (cloud.refreshes.get(name) ?? []).map(({ status, reason }) => ({ Status: status, StatusReason: reason }));
}

export const GROUPS: readonly Kind[] = [
  {
    type: GROUP,
    untagged: true, // its tags are a list with a flag each
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix', 'initialLifecycleHooks'],
    admit: admitGroup,
    outputs: (inputs, id, { region }) => ({
      arn: `arn:aws:autoscaling:${region}:${ACCOUNT}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/${id}`,
      desiredCapacity: inputs.desiredCapacity ?? inputs.minSize!,
      healthCheckType: 'EC2',
    }),
    made: settle,
    release: ({ id }, { cloud }) => {
      for (const machine of machinesOf(cloud, id)) cloud.machines.delete(machine.id);
    },
  },
  {
    type: HOOK,
    untagged: true,
    autoName: 'name',
    // PutLifecycleHook makes one or changes the one there is: each group has names of its own.
    id: (inputs) => `${text(inputs, 'autoscalingGroupName')}/${text(inputs, 'name')}`,
    overwrites: true,
    replaces: ['name', 'autoscalingGroupName'],
    references: [{ path: 'autoscalingGroupName', type: GROUP, code: 'ValidationError' }],
  },
];

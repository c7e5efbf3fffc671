/** Auto Scaling groups, and the machines that AWS makes for them: terraform-provider-aws, internal/service/autoscaling/group.go. */
import { ACCOUNT, type Machine, type Resource } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Context, Kind } from '../kind.ts';
import { type Bag, bags, isBag, plain, text, texts } from '../values.ts';
import { TEMPLATE } from './machines.ts';
import { freeAddress, SUBNET } from './network.ts';

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

/** Scales to the wanted number, and with an instance refresh replaces those of another version one after another. */
function settle(group: Resource, context: Context, old?: Resource): void {
  const { cloud } = context;
  const inputs = plain(group.inputs);
  const template = templateOf(inputs, context);
  const subnets = texts(inputs.vpcZoneIdentifiers);
  const wanted = Number(inputs.desiredCapacity ?? inputs.minSize);
  const mine = (): Machine[] => [...cloud.machines.values()].filter((machine) => machine.group === group.id);
  for (const machine of mine().slice(wanted)) cloud.machines.delete(machine.id);
  for (let i = mine().length; i < wanted; i++) launch(group, template, subnets[i % subnets.length]!, context);
  if (old === undefined || !isBag(inputs.instanceRefresh)) return;
  for (const machine of mine()) {
    if (machine.launchTemplate === template.id && machine.launchTemplateVersion === template.version) continue;
    const entry = cloud.begin({ operation: 'refresh', type: GROUP, name: machine.id, urn: group.urn, preview: false });
    cloud.machines.delete(machine.id);
    launch(group, template, machine.subnetId, context);
    cloud.end(entry);
  }
}

export const GROUPS: readonly Kind[] = [
  {
    type: GROUP,
    untagged: true, // its tags are a list with a flag each
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix'],
    admit: admitGroup,
    outputs: (inputs, id, { region }) => ({
      arn: `arn:aws:autoscaling:${region}:${ACCOUNT}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/${id}`,
      desiredCapacity: inputs.desiredCapacity ?? inputs.minSize!,
      healthCheckType: 'EC2',
    }),
    made: settle,
    release: ({ id }, { cloud }) => {
      for (const machine of [...cloud.machines.values()]) if (machine.group === id) cloud.machines.delete(machine.id);
    },
  },
];

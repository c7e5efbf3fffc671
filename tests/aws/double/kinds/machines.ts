/**
 * Interfaces, volumes and instances. What replaces is ForceNew in terraform-provider-aws, internal/service/ec2/ec2_instance.go,
 * ec2_launch_template.go, ebs_volume.go, vpc_network_interface.go.
 */
import { parseIp } from '@flannel-ts/inet/ip';
import { lastAddress, parsePrefix, prefixContains } from '@flannel-ts/inet/prefix';
import { InstanceType } from '@pulumi/aws/types/enums/ec2/index.js';
import { ACCOUNT, type Cloud, type Context, type Resource } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind } from '../kind.ts';
import { type Bag, bags, isBag, plain, sameValue, text, texts } from '../values.ts';
import { ec2Arn, freeAddress, SUBNET } from './network.ts';

export const TEMPLATE = 'aws:ec2/launchTemplate:LaunchTemplate';
const INTERFACE = 'aws:ec2/networkInterface:NetworkInterface';
export const INSTANCE = 'aws:ec2/instance:Instance';
const VOLUME = 'aws:ebs/volume:Volume';
const ATTACHMENT = 'aws:ec2/volumeAttachment:VolumeAttachment';
const PROFILE = 'aws:iam/instanceProfile:InstanceProfile';

/** https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html: 16 KB before it is encoded. */
const USER_DATA_LIMIT = 16_384;

export type Architecture = 'arm64' | 'x86_64';

/** The images that this AWS has. */
export const IMAGES: Readonly<Record<string, Architecture>> = {
  'ami-0a64a64a64a64a640': 'arm64',
  'ami-0a64a64a64a64a641': 'arm64',
  'ami-0a86a86a86a86a860': 'x86_64',
  'ami-0a86a86a86a86a861': 'x86_64',
};

const TYPES: ReadonlySet<string> = new Set(Object.values(InstanceType));

/** Graviton's families have a "g" after their generation: t4g, m7gd, c6gn; and there is a1. */
function architectureOfType(instanceType: string): Architecture {
  return /^(?:[a-z]+\d+g[a-z]*|a1|x2g|im4gn|is4gen|g5g)\./.test(instanceType) ? 'arm64' : 'x86_64';
}

function assertLaunchable(inputs: Bag, encodedUserData: string | undefined): void {
  const type = text(inputs, 'instanceType');
  if (type !== undefined && !TYPES.has(type)) {
    throw new ApiError('InvalidParameterValue', `Invalid value '${type}' for InstanceType`);
  }
  const image = text(inputs, 'imageId') ?? text(inputs, 'ami');
  const architecture = image === undefined ? undefined : architectureOfImage(image);
  if (type !== undefined && architecture !== undefined && architectureOfType(type) !== architecture) {
    throw new ApiError(
      'InvalidParameterValue',
      `The architecture '${architectureOfType(type)}' of the specified instance type (${type}) does not match the architecture '${architecture}' of the specified AMI (${image})`,
    );
  }
  if (encodedUserData !== undefined) assertUserData(encodedUserData);
}

function architectureOfImage(image: string): Architecture {
  if (image.startsWith('resolve:ssm:')) return image.endsWith('arm64') ? 'arm64' : 'x86_64';
  const architecture = IMAGES[image];
  if (architecture === undefined)
    throw new ApiError('InvalidAMIID.NotFound', `The image id '[${image}]' does not exist`);
  return architecture;
}

function assertUserData(encoded: string): void {
  const raw = Buffer.from(encoded, 'base64');
  if (raw.toString('base64') !== encoded) {
    throw new ApiError('InvalidUserData.Malformed', 'Invalid BASE64 encoding of user data');
  }
  if (raw.length > USER_DATA_LIMIT) {
    throw new ApiError(
      'InvalidParameterValue',
      `User data is limited to ${USER_DATA_LIMIT} bytes, this has ${raw.length}`,
    );
  }
}

function userDataOf(inputs: Bag): string | undefined {
  const raw = text(inputs, 'userData');
  return raw === undefined ? text(inputs, 'userDataBase64') : Buffer.from(raw).toString('base64');
}

function interfaceIds(inputs: Bag): readonly string[] {
  return [...bags(inputs.networkInterfaces), ...bags(inputs.primaryNetworkInterface)].flatMap((each) =>
    texts(each.networkInterfaceId),
  );
}

function admitInstance(inputs: Bag, { cloud }: Context, old?: Resource): void {
  assertLaunchable(inputs, userDataOf(inputs));
  const attached = interfaceIds(inputs);
  const doubled = ['subnetId', 'vpcSecurityGroupIds', 'sourceDestCheck', 'privateIp'].find(
    (key) => inputs[key] !== undefined,
  );
  if (attached.length > 0 && doubled !== undefined) {
    throw new ApiError(
      'InvalidParameterCombination',
      `Network interfaces and an instance-level ${doubled} may not be specified on the same request`,
    );
  }
  if (old !== undefined) return;
  for (const id of attached) {
    const holder = cloud.all(INSTANCE).find((other) => interfaceIds(plain(other.inputs)).includes(id));
    if (holder === undefined) continue;
    throw new ApiError('InvalidNetworkInterface.InUse', `Interface: [${id}] in use by ${holder.id}`);
  }
}

function zoneOfInstance(inputs: Bag, cloud: Cloud): string {
  const [id] = interfaceIds(inputs);
  const subnet =
    text(inputs, 'subnetId') ?? (id === undefined ? undefined : text(cloud.get(INTERFACE, id)!.outputs, 'subnetId'));
  if (subnet === undefined) return text(inputs, 'availabilityZone') ?? '';
  return text(plain(cloud.get(SUBNET, subnet)!.outputs), 'availabilityZone')!;
}

function instanceOutputs(inputs: Bag, id: string, context: Context, old?: Resource): Bag {
  const { cloud } = context;
  const [held] = interfaceIds(inputs);
  const privateIp =
    text(inputs, 'privateIp') ??
    old?.outputs.privateIp ??
    (held === undefined
      ? freeAddress(text(inputs, 'subnetId')!, context)
      : cloud.get(INTERFACE, held)!.outputs.privateIp!);
  return {
    arn: ec2Arn('instance', id, context),
    availabilityZone: zoneOfInstance(inputs, cloud),
    instanceState: 'running',
    privateIp,
    privateDns: `ip-${String(privateIp).replaceAll('.', '-')}.${context.region}.compute.internal`,
    primaryNetworkInterfaceId: held ?? old?.outputs.primaryNetworkInterfaceId ?? cloud.newId('eni'),
    publicIp: '',
    sourceDestCheck: true,
  };
}

function admitInterface(inputs: Bag, context: Context, old?: Resource): void {
  const { cloud } = context;
  const subnet = cloud.require(SUBNET, text(inputs, 'subnetId') ?? '', 'InvalidSubnetID.NotFound', 'subnet ID');
  if (old !== undefined && !sameValue(plain(old.inputs).privateIps, inputs.privateIps)) {
    throw new ApiError('InvalidParameterValue', 'The primary address of a network interface cannot change');
  }
  if (old !== undefined) return;
  const prefix = parsePrefix(text(plain(subnet.inputs), 'cidrBlock')!, 4);
  for (const address of texts(inputs.privateIps)) {
    const ip = parseIp(address, 4);
    if (!prefixContains(prefix, ip)) {
      throw new ApiError('InvalidParameterValue', `Address ${address} does not fall within the subnet's address range`);
    }
    if (ip - prefix.base < 4 || ip === lastAddress(prefix)) {
      throw new ApiError('InvalidParameterValue', `Address ${address} is in subnet's reserved address range`);
    }
    const holder = cloud
      .users(INTERFACE, 'subnetId', subnet.id)
      .find(({ outputs }) => texts(outputs.privateIps).includes(address));
    const machine = [...cloud.machines.values()].find(
      (each) => each.address === address && each.subnetId === subnet.id,
    );
    if (holder ?? machine)
      throw new ApiError('InvalidIPAddress.InUse', `Address ${address} is in use by ${(holder ?? machine)!.id}`);
  }
}

function admitAttachment(inputs: Bag, { cloud }: Context): void {
  const volume = cloud.require(VOLUME, text(inputs, 'volumeId') ?? '', 'InvalidVolume.NotFound', 'volume');
  const instance = cloud.require(
    INSTANCE,
    text(inputs, 'instanceId') ?? '',
    'InvalidInstanceID.NotFound',
    'instance ID',
  );
  const [holder] = cloud.users(ATTACHMENT, 'volumeId', volume.id);
  if (holder !== undefined) throw new ApiError('VolumeInUse', `${volume.id} is already attached to an instance`);
  if (text(plain(volume.inputs), 'availabilityZone') !== text(instance.outputs, 'availabilityZone')) {
    throw new ApiError(
      'InvalidVolume.ZoneMismatch',
      `The volume '${volume.id}' is not in the same availability zone as instance '${instance.id}'`,
    );
  }
}

function admitVolume(inputs: Bag, _: Context, old?: Resource): void {
  const { size } = inputs;
  const before = old === undefined ? undefined : plain(old.inputs).size;
  if (typeof size === 'number' && typeof before === 'number' && size < before) {
    throw new ApiError('InvalidParameterValue', `New size cannot be smaller than existing size (${before} GiB)`);
  }
  if (size === undefined && text(inputs, 'snapshotId') === undefined) {
    throw new ApiError('MissingParameter', 'A volume needs a size or a snapshot');
  }
}

/** A changed template is a new version; the old ones stay. */
function templateOutputs(inputs: Bag, id: string, context: Context, old?: Resource): Bag {
  const { tags: _, ...content } = inputs;
  const versions = context.cloud.templates.get(id) ?? [];
  const same = old !== undefined && sameValue(versions.at(-1), content);
  context.cloud.templates.set(id, same ? versions : [...versions, content]);
  const latest = versions.length + (same ? 0 : 1);
  const fixed =
    inputs.updateDefaultVersion === true ? latest : (inputs.defaultVersion ?? old?.outputs.defaultVersion ?? 1);
  return { arn: ec2Arn('launch-template', id, context), latestVersion: latest, defaultVersion: fixed };
}

function admitTemplate(inputs: Bag): void {
  assertLaunchable(inputs, text(inputs, 'userData'));
  if (inputs.vpcSecurityGroupIds !== undefined && bags(inputs.networkInterfaces).length > 0) {
    throw new ApiError(
      'InvalidParameterCombination',
      'Network interfaces and an instance-level security groups may not be specified on the same request',
    );
  }
  for (const { ebs } of bags(inputs.blockDeviceMappings)) {
    if (isBag(ebs) && text(ebs, 'encrypted') === 'false' && text(ebs, 'kmsKeyId') !== undefined) {
      throw new ApiError('InvalidParameterCombination', 'A KMS key needs an encrypted volume');
    }
  }
}

export const MACHINES: readonly Kind[] = [
  {
    type: INTERFACE,
    prefix: 'eni',
    replaces: ['subnetId', 'interfaceType'],
    admit: admitInterface,
    outputs: (inputs, id, context, old) => {
      const [first] = texts(inputs.privateIps);
      const address = first ?? old?.outputs.privateIp ?? freeAddress(text(inputs, 'subnetId')!, context);
      return {
        arn: ec2Arn('network-interface', id, context),
        privateIp: address,
        privateIps: [address],
        sourceDestCheck: true,
        ownerId: ACCOUNT,
      };
    },
    blockers: [
      { type: INSTANCE, path: 'networkInterfaces.networkInterfaceId' },
      { type: INSTANCE, path: 'primaryNetworkInterface.networkInterfaceId' },
    ],
    inUse: 'InvalidParameterValue',
  },
  {
    type: INSTANCE,
    prefix: 'i',
    replaces: [
      ...[
        'ami',
        'availabilityZone',
        'subnetId',
        'keyName',
        'privateIp',
        'tenancy',
        'hostId',
        'placementGroup',
        'hibernation',
      ],
      ...[
        'associatePublicIpAddress',
        'securityGroups',
        'ebsBlockDevices',
        'ephemeralBlockDevices',
        'networkInterfaces',
      ],
      ...['primaryNetworkInterface', 'cpuOptions', 'enclaveOptions', 'launchTemplate'],
      ...['rootBlockDevice.encrypted', 'rootBlockDevice.kmsKeyId'],
    ],
    replacesIf: ({ userDataReplaceOnChange }) =>
      userDataReplaceOnChange === true ? ['userData', 'userDataBase64'] : [],
    validate: ({ userData, userDataBase64 }) => ({
      userData: userData !== undefined && userDataBase64 !== undefined ? 'conflicts with userDataBase64' : undefined,
    }),
    references: [{ path: 'iamInstanceProfile', type: PROFILE, code: 'InvalidParameterValue' }],
    admit: admitInstance,
    outputs: instanceOutputs,
    release: ({ id, inputs }) => {
      if (plain(inputs).disableApiTermination !== true) return;
      throw new ApiError('OperationNotPermitted', `The instance '${id}' may not be terminated`);
    },
  },
  {
    type: VOLUME,
    prefix: 'vol',
    replaces: ['availabilityZone', 'encrypted', 'kmsKeyId', 'snapshotId', 'outpostArn', 'multiAttachEnabled'],
    admit: admitVolume,
    outputs: (_, id, context) => ({ arn: ec2Arn('volume', id, context), createTime: '2026-01-01T00:00:00Z' }),
    blockers: [{ type: ATTACHMENT, path: 'volumeId' }],
    inUse: 'VolumeInUse',
  },
  {
    type: ATTACHMENT,
    untagged: true,
    id: (inputs) =>
      `vai-${[text(inputs, 'deviceName'), text(inputs, 'volumeId'), text(inputs, 'instanceId')].join('-')}`,
    replaces: ['deviceName', 'instanceId', 'volumeId'],
    admit: admitAttachment,
    unique: { by: ['instanceId', 'deviceName'], code: 'InvalidParameterValue' },
  },
  {
    type: TEMPLATE,
    prefix: 'lt',
    autoName: 'name',
    replaces: ['name', 'namePrefix'],
    references: [
      { path: 'iamInstanceProfile.name', type: PROFILE, code: 'InvalidParameterValue' },
      { path: 'iamInstanceProfile.arn', type: PROFILE, code: 'InvalidParameterValue' },
    ],
    admit: admitTemplate,
    unique: { by: ['name'], code: 'InvalidLaunchTemplateName.AlreadyExistsException' },
    outputs: templateOutputs,
    volatile: ['latestVersion', 'defaultVersion'],
  },
];

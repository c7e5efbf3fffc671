/** The AWS environment: a VPC, etcd, and nodes that boot from the stack's bucket. The counterpart of `local`, in an account. */
import { podPool } from '@flannel-ts/flannel/addressing';
import { formatNetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { Provider } from '@pulumi/aws/provider';
import * as pulumi from '@pulumi/pulumi';
import { orRunError, readConfiguredArtifact } from '../configured.ts';
import { InfraError } from '../errors.ts';
import type { Artifact } from '../node/artifact.ts';
import { underlayNeeds } from '../node/underlay.ts';
import type { EnvironmentOutputs } from '../outputs.ts';
import type { CloudSettings } from '../settings.ts';
import { FlannelArtifacts } from './artifacts.ts';
import { EtcdBackup } from './backup.ts';
import { nodeUserData } from './boot/userdata.ts';
import {
  type Architecture,
  type EtcdOutputs,
  HOOKS,
  type MachineKind,
  type MachinePlace,
  type Role,
} from './contract.ts';
import { endpointServices, FlannelEndpoints } from './endpoints.ts';
import { FlannelEtcd } from './etcd.ts';
import { InstanceRole } from './iam.ts';
import { StackKey } from './key.ts';
import { keptImage } from './machine.ts';
import { FlannelNetwork } from './network.ts';
import { FixedNodes, NodeGroup, type NodeOutput } from './nodes.ts';
import { FlannelSecurity } from './security.ts';
import { SourceDestCheck, sourceDestCheckParameter } from './source-check.ts';
import { type Placement, placeEtcd, placeNodes, type SubnetRole } from './subnets.ts';
import { stackId, stackTags, type Tags } from './tags.ts';

export function createAwsEnvironment(settings: CloudSettings, artifact: Artifact): EnvironmentOutputs {
  const artifacts = {
    node: artifact,
    etcd: readConfiguredArtifact(settings.aws.etcdArtifact, 'npm run etcd-artifact'),
  };
  for (const each of Object.values(artifacts)) orRunError(() => checkArchitecture(each, settings.aws.architecture));
  const id = stackId();
  const tags = stackTags(id, settings.aws.ttlHours);
  // The only provider: no resource uses the region that happens to be in the environment.
  const provider = new Provider('aws', { region: settings.aws.region, defaultTags: { tags } });
  const made = new AwsEnvironment(settings.stack, { id, settings, artifacts, tags }, { providers: [provider] });
  const { network, vpc } = settings;
  return {
    network: {
      vpcCidr: formatPrefix(vpc),
      podCidr: formatPrefix(podPool(network).network),
      subnetLength: podPool(network).subnetLength,
      backend: JSON.parse(formatNetworkConfig(network)).Backend,
    },
    nodes: made.nodes,
    etcdEndpoints: made.etcd.endpoints,
    artifact: { version: artifact.version, sha256: artifact.sha256 },
    etcdClient: made.etcd.client,
  };
}

interface AwsEnvironmentArgs {
  /** The stack's, in the account. */
  readonly id: string;
  readonly settings: CloudSettings;
  readonly artifacts: Readonly<Record<Role, Artifact>>;
  readonly tags: Tags;
}

/** The parent of all other resources, which inherit its provider. */
class AwsEnvironment extends pulumi.ComponentResource {
  readonly etcd: EtcdOutputs;
  readonly nodes: readonly NodeOutput[];

  private readonly network: FlannelNetwork;
  private readonly security: FlannelSecurity;
  private readonly key: StackKey;
  private readonly artifacts: FlannelArtifacts;
  private readonly imageId: pulumi.Input<string>;
  /** Machines need these to boot and to shut down in order: created before them, deleted after them. */
  private readonly reachable: readonly pulumi.Resource[];
  /** Of a group's nodes, which switch it themselves. */
  private readonly sourceDestCheck?: SourceDestCheck;

  constructor(
    name: string,
    private readonly args: AwsEnvironmentArgs,
    options: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:Environment', name, {}, options);
    const { settings, artifacts } = args;
    const { id: stack } = args;
    const { aws } = settings;
    this.key = new StackKey('key', { stack, data: aws.data }, { parent: this });
    this.network = this.makeNetwork();
    this.security = this.makeSecurity();
    const endpoints = this.makeEndpoints();
    this.reachable = [this.network, this.security, ...(endpoints === undefined ? [] : [endpoints])];
    const { protect } = aws.data;
    this.artifacts = new FlannelArtifacts('artifacts', { keyArn: this.key.arn, protect, artifacts }, { parent: this });
    this.imageId = keptImage(aws.architecture, { parent: this });
    const group = aws.nodeMode === 'group';
    // Packets of pods pass before the nodes send them, and until they do no more.
    if (group && this.barePackets) this.sourceDestCheck = this.makeSourceDestCheck(this.reachable);
    this.etcd = this.makeEtcd();
    if (group && !this.barePackets) this.sourceDestCheck = this.makeSourceDestCheck(this.etcd.ready);
    this.nodes = this.makeNodes();
    this.registerOutputs();
  }

  /** What every role of the stack is created with. */
  private get limited(): { readonly permissionsBoundary?: string } {
    const { permissionsBoundary } = this.args.settings.aws;
    return { ...(permissionsBoundary !== undefined && { permissionsBoundary }) };
  }

  /** Whether packets with pods' addresses pass between nodes. */
  private get barePackets(): boolean {
    return underlayNeeds(this.args.settings.network.backend).barePackets;
  }

  private makeSourceDestCheck(after: readonly pulumi.Resource[]): SourceDestCheck {
    const { id: stack } = this.args;
    const args = { stack, keyArn: this.key.arn, on: !this.barePackets };
    return new SourceDestCheck('source-dest-check', args, { parent: this, dependsOn: [...after] });
  }

  private makeNetwork(): FlannelNetwork {
    const { vpc, aws } = this.args.settings;
    const { region, nat, flowLogs, data } = aws;
    const { zones } = aws.subnets;
    return new FlannelNetwork(
      'network',
      { cidrBlock: formatPrefix(vpc), region, zones, nat, flowLogs, protect: data.protect, ...this.limited },
      { parent: this },
    );
  }

  private makeSecurity(): FlannelSecurity {
    const { vpc, network, aws } = this.args.settings;
    const { vpcId, s3PrefixListId } = this.network;
    const security = new FlannelSecurity(
      'security',
      {
        vpcId,
        s3PrefixListId,
        vpcCidr: formatPrefix(vpc),
        podCidr: formatPrefix(podPool(network).network),
        backend: network.backend,
        internet: aws.nat !== 'none',
        endpoints: aws.vpcEndpoints,
      },
      { parent: this },
    );
    return security;
  }

  private makeEndpoints(): FlannelEndpoints | undefined {
    const { vpcId } = this.network;
    const { endpointGroup: securityGroupId } = this.security;
    if (securityGroupId === undefined) return undefined;
    const { region, nodeMode } = this.args.settings.aws;
    const services = endpointServices(nodeMode === 'group');
    const subnetIds = this.network.subnetsOf('private').map(({ id }) => id);
    return new FlannelEndpoints('endpoints', { region, vpcId, subnetIds, securityGroupId, services }, { parent: this });
  }

  private makeEtcd(): EtcdOutputs {
    const { id: stack } = this.args;
    const { network, etcdMembers, aws } = this.args.settings;
    const { data, region } = aws;
    const backup = new EtcdBackup('backup', { stack, keyArn: this.key.arn, data }, { parent: this });
    const role = new InstanceRole(
      'etcd',
      {
        stack,
        role: 'etcd',
        keyArn: this.key.arn,
        artifactsArn: this.artifacts.bucketArn,
        ...this.limited,
        snapshots: { bucketArn: backup.bucketArn, prefix: backup.folder.prefix },
      },
      { parent: this },
    );
    return new FlannelEtcd(
      'etcd',
      {
        stack,
        region,
        machines: this.machines('etcd', role, aws.etcdInstanceType),
        members: this.places('etcd', placeEtcd(aws.subnets, etcdMembers)),
        artifact: this.artifacts.objects.etcd,
        network,
        keyArn: this.key.arn,
        snapshots: backup.folder,
        data,
        tags: this.args.tags,
        beforeNetwork: this.sourceDestCheck === undefined ? [] : [this.sourceDestCheck],
      },
      { parent: this, dependsOn: [...this.reachable] },
    );
  }

  private makeNodes(): readonly NodeOutput[] {
    const { id: stack } = this.args;
    const { nodes: count, aws } = this.args.settings;
    const role = new InstanceRole(
      'node',
      {
        stack,
        role: 'node',
        keyArn: this.key.arn,
        artifactsArn: this.artifacts.bucketArn,
        ...this.limited,
        inGroup: aws.nodeMode === 'group',
      },
      { parent: this },
    );
    const machines = this.machines('node', role, aws.instanceType);
    const common = { region: aws.region, machines, userData: this.userData(), tags: this.args.tags };
    const check = this.sourceDestCheck === undefined ? [] : [this.sourceDestCheck];
    const options = { parent: this, dependsOn: [...this.reachable, ...this.etcd.ready, ...check] };
    if (aws.nodeMode === 'instances') {
      const places = this.places('private', placeNodes(aws.subnets, count));
      const sourceDestCheck = !this.barePackets;
      return new FixedNodes('nodes', { ...common, places, sourceDestCheck }, options).nodes;
    }
    const subnetIds = this.network.subnetsOf('private').map(({ id }) => id);
    return new NodeGroup('nodes', { ...common, count, subnetIds, forceDelete: !aws.data.protect }, options).nodes;
  }

  private userData(): pulumi.Output<string> {
    const { id: stack } = this.args;
    const { aws } = this.args.settings;
    const { endpoints, nodeParameters } = this.etcd;
    const { bucket, key, sha256 } = this.artifacts.objects.node;
    return pulumi.output(bucket).apply((bucket) =>
      nodeUserData({
        stack,
        region: aws.region,
        artifact: { bucket, key, sha256 },
        etcdEndpoints: endpoints,
        parameters: nodeParameters,
        ...(aws.nodeMode === 'group' && {
          group: { sourceDestCheck: sourceDestCheckParameter(stack), hooks: HOOKS },
        }),
      }),
    );
  }

  private machines(role: Role, { profile }: InstanceRole, instanceType: string): MachineKind {
    const { imageId, etcdImageId } = this.args.settings.aws;
    const ownImage = role === 'etcd' ? etcdImageId : imageId;
    return {
      role,
      architecture: this.args.settings.aws.architecture,
      instanceType,
      imageId: ownImage ?? this.imageId,
      imageAsked: ownImage !== undefined,
      securityGroupId: this.security.groups[role],
      instanceProfile: profile,
    };
  }

  private places(role: SubnetRole, placed: readonly Placement[]): MachinePlace[] {
    const subnets = this.network.subnetsOf(role);
    return placed.map(({ name, zone, zoneIndex, address }) => {
      return { name, zone, subnetId: subnets[zoneIndex]!.id, address: formatIp(address) };
    });
  }
}

/** Otherwise a machine would boot and could not run what it fetches. The archive's name has its architecture. */
function checkArchitecture({ file, source }: Artifact, architecture: Architecture): void {
  const [, found] = /-linux-(\w+)\.tar\.gz$/.exec(file) ?? [];
  if (found === undefined || found === architecture) return;
  throw new InfraError(
    'ARTIFACT_ARCHITECTURE',
    `${source} is for ${found} and architecture is ${architecture}: build on a machine of that kind, or set architecture to ${found}`,
  );
}

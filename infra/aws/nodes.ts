/** The nodes: machines of one kind, kept by a group that replaces them in a rolling way, or each by itself with a fixed address. */
import { Group } from '@pulumi/aws/autoscaling/group';
import { LifecycleHook } from '@pulumi/aws/autoscaling/lifecycleHook';
import { getInstancesOutput } from '@pulumi/aws/ec2/getInstances';
import { Instance } from '@pulumi/aws/ec2/instance';
import { LaunchTemplate } from '@pulumi/aws/ec2/launchTemplate';
import { NetworkInterface } from '@pulumi/aws/ec2/networkInterface';
import * as pulumi from '@pulumi/pulumi';
import { nodeBoot } from '../node/files.ts';
import { HOOKS, type MachineKind, type MachinePlace } from './contract.ts';
import { METADATA_OPTIONS, ROOT_DEVICE, ROOT_VOLUME } from './machine.ts';
import { GroupSettled, runOn } from './run-on.ts';
import { named, type Tags } from './tags.ts';

interface NodesArgs {
  readonly region: string;
  readonly machines: MachineKind;
  /** Cloud-init's, as text. Another one rolls over the nodes. */
  readonly userData: pulumi.Input<string>;
  /** For what is made at launch; resources get them by the provider. */
  readonly tags: Tags;
}

export interface NodeGroupArgs extends NodesArgs {
  readonly count: number;
  /** One in each zone. */
  readonly subnetIds: readonly pulumi.Input<string>[];
  /** A group with machines in it can be deleted. */
  readonly forceDelete: boolean;
}

export interface FixedNodesArgs extends NodesArgs {
  readonly places: readonly MachinePlace[];
  /** Off where packets have pods' addresses. In a group each node switches it off by itself: a launch template cannot. */
  readonly sourceDestCheck: boolean;
}

export interface NodeOutput {
  readonly name: string;
  readonly address: string | pulumi.Output<string>;
  /** Of the instance, as Session Manager takes it. */
  readonly instance: pulumi.Output<string>;
}

/** How long a new node may take from its launch to being one that packets go through; it is given up then, and another one launched. */
const READY_SECONDS = 600;
/** To give a lease back takes a second, if etcd answers. */
const RELEASE_SECONDS = 120;
/** What a group waits for: a node completes it itself, by boot/node-lifecycle.sh. */
const HOOKS_OF_GROUP = [
  {
    name: HOOKS.launch,
    lifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
    defaultResult: 'ABANDON',
    heartbeatTimeout: READY_SECONDS,
  },
  {
    name: HOOKS.terminate,
    lifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
    defaultResult: 'CONTINUE',
    heartbeatTimeout: RELEASE_SECONDS,
  },
] as const;
/** Until a node counts after it is ready, and in service. */
const WARM_UP_SECONDS = 10;
/** One after another in a small group: one more is launched before one goes. */
const LEAST_HEALTHY_PERCENT = 100;
const MOST_HEALTHY_PERCENT = 110;

/** Nodes that take any address. */
export class NodeGroup extends pulumi.ComponentResource {
  readonly nodes: readonly NodeOutput[];
  private readonly settled: pulumi.Resource;

  constructor(name: string, args: NodeGroupArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Nodes', name, {}, options);
    const { count, tags } = args;
    const template = this.template(name, args);
    const group = new Group(
      name,
      {
        minSize: count,
        maxSize: count,
        desiredCapacity: count,
        vpcZoneIdentifiers: [...args.subnetIds],
        launchTemplate: { id: template.id, version: template.latestVersion.apply(String) },
        healthCheckType: 'EC2',
        healthCheckGracePeriod: WARM_UP_SECONDS,
        defaultInstanceWarmup: WARM_UP_SECONDS,
        instanceRefresh: {
          strategy: 'Rolling',
          preferences: {
            minHealthyPercentage: LEAST_HEALTHY_PERCENT,
            maxHealthyPercentage: MOST_HEALTHY_PERCENT,
            // Nodes that a refresh which was cut off has done are left alone.
            skipMatching: true,
            autoRollback: true,
          },
        },
        terminationPolicies: ['OldestLaunchTemplate', 'OldestInstance'],
        forceDelete: args.forceDelete,
        // There before the first machine is. The provider would replace the group for other ones: those are resources of their own.
        initialLifecycleHooks: HOOKS_OF_GROUP.map((hook) => ({ ...hook })),
        waitForCapacityTimeout: '20m',
        // The provider's default tags reach no group, and the template's those of the machines.
        tags: Object.entries({ ...tags, ...named(name, args.machines.role) }).map(([key, value]) => {
          return { key, value, propagateAtLaunch: false };
        }),
      },
      { parent: this, ignoreChanges: ['initialLifecycleHooks'] },
    );
    for (const hook of HOOKS_OF_GROUP) {
      new LifecycleHook(`${name}-${hook.name}`, { autoscalingGroupName: group.name, ...hook }, { parent: this });
    }
    const version = template.latestVersion.apply(String);
    const wanted = { region: args.region, group: group.name, version, count };
    this.settled = new GroupSettled(`${name}-settled`, wanted, { parent: this, dependsOn: [group] });
    this.nodes = this.outputs(group, count);
    this.registerOutputs({ nodes: this.nodes });
  }

  private template(name: string, { machines, userData, tags }: NodeGroupArgs): LaunchTemplate {
    const launched = { ...tags, ...named(machines.role, machines.role) };
    return new LaunchTemplate(
      name,
      {
        imageId: machines.imageId,
        instanceType: machines.instanceType,
        iamInstanceProfile: { name: machines.instanceProfile },
        vpcSecurityGroupIds: [machines.securityGroupId],
        userData: base64(userData),
        updateDefaultVersion: true,
        ebsOptimized: 'true',
        metadataOptions: METADATA_OPTIONS,
        blockDeviceMappings: [
          {
            deviceName: ROOT_DEVICE,
            ebs: { ...ROOT_VOLUME, encrypted: 'true', deleteOnTermination: 'true' },
          },
        ],
        tagSpecifications: ['instance', 'volume', 'network-interface'].map((resourceType) => {
          return { resourceType, tags: launched };
        }),
        tags: named(name, machines.role),
      },
      { parent: this },
    );
  }

  /** Of the machines that are there after this `up`. */
  private outputs(group: Group, count: number): NodeOutput[] {
    const found = getInstancesOutput(
      { instanceTags: { 'aws:autoscaling:groupName': group.name }, instanceStateNames: ['pending', 'running'] },
      { parent: this, dependsOn: [this.settled] },
    );
    return Array.from({ length: count }, (_, i) => ({
      name: `node-${i}`,
      address: found.privateIps.apply((addresses) => addresses[i] ?? ''),
      instance: found.ids.apply((ids) => ids[i] ?? ''),
    }));
  }
}

/** flanneld answers when it has a lease and its device is up; the machine may still be installing. */
const WAIT_UNTIL_READY = `for i in $(seq 180); do
  if curl --fail --silent --output /dev/null ${nodeBoot({ root: '', etcdEndpoints: [] }).unit.readyUrl}; then exit 0; fi
  sleep 5
done
journalctl --unit flannel-bootstrap --unit flanneld --no-pager --lines 40
exit 1`;

/** Nodes that keep their addresses, whatever happens to the machines. */
export class FixedNodes extends pulumi.ComponentResource {
  readonly nodes: readonly NodeOutput[];

  constructor(name: string, args: FixedNodesArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Nodes', name, {}, options);
    const nodes: NodeOutput[] = [];
    let ready: pulumi.Resource | undefined;
    for (const place of args.places) {
      const instance = this.node(place, args, ready);
      ready = runOn(`${place.name}-ready`, { region: args.region, instance: instance.id }, [WAIT_UNTIL_READY], {
        parent: this,
      });
      nodes.push({ name: place.name, address: place.address, instance: instance.id });
    }
    this.nodes = nodes;
    this.registerOutputs({ nodes });
  }

  private node(place: MachinePlace, args: FixedNodesArgs, previous: pulumi.Resource | undefined): Instance {
    const { machines, userData, tags, sourceDestCheck } = args;
    const networkInterface = new NetworkInterface(
      place.name,
      {
        subnetId: place.subnetId,
        privateIps: [place.address],
        securityGroups: [machines.securityGroupId],
        sourceDestCheck,
        tags: named(place.name, machines.role),
      },
      // Another one would have the same address.
      { parent: this, deleteBeforeReplace: true },
    );
    return new Instance(
      place.name,
      {
        ami: machines.imageId,
        instanceType: machines.instanceType,
        iamInstanceProfile: machines.instanceProfile,
        primaryNetworkInterface: { networkInterfaceId: networkInterface.id },
        userDataBase64: base64(userData),
        userDataReplaceOnChange: true,
        ebsOptimized: true,
        metadataOptions: METADATA_OPTIONS,
        rootBlockDevice: { ...ROOT_VOLUME, tags: { ...tags, ...named(place.name, machines.role) } },
        tags: named(place.name, machines.role),
      },
      // The interface can be with one machine at a time, and the next node is replaced when this one is ready.
      { parent: this, deleteBeforeReplace: true, ...(previous && { dependsOn: [previous] }) },
    );
  }
}

function base64(text: pulumi.Input<string>): pulumi.Output<string> {
  return pulumi.output(text).apply((plain) => Buffer.from(plain).toString('base64'));
}

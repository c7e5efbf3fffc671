/** One member of etcd: a network interface with a fixed address, a data volume, and the instance that can be replaced between them. */
import { Volume } from '@pulumi/aws/ebs/volume';
import { Instance } from '@pulumi/aws/ec2/instance';
import { NetworkInterface } from '@pulumi/aws/ec2/networkInterface';
import { VolumeAttachment } from '@pulumi/aws/ec2/volumeAttachment';
import * as pulumi from '@pulumi/pulumi';
import { type EtcdUserData, etcdUserData } from './boot/userdata.ts';
import type { EtcdArgs, MachinePlace } from './contract.ts';
import { METADATA_OPTIONS, ROOT_VOLUME } from './machine.ts';
import { runOn } from './run-on.ts';
import { named } from './tags.ts';

export interface EtcdMemberArgs extends EtcdArgs {
  readonly place: MachinePlace;
  /** Names of SSM parameters. */
  readonly parameters: EtcdUserData['parameters'];
  /** The parameter that holds flannel's network configuration. */
  readonly networkParameter: string;
  /** What must be there before the instance is: its parameters, and a healthy member before it. */
  readonly after: readonly pulumi.Resource[];
}

/** In GiB. etcd itself refuses to grow beyond 2, and snapshots are restored beside what they replace. */
const DATA_VOLUME_GIB = 10;
const DATA_DEVICE = '/dev/sdf';

/** The machine may still be installing, and Systems Manager runs this as soon as it sees the machine. */
const WAIT_UNTIL_HEALTHY = `for i in $(seq 120); do
  if [ -x /opt/etcd/current/flannel-etcd ]; then exec /opt/etcd/current/flannel-etcd wait forming; fi
  sleep 5
done
exit 1`;

export class EtcdMember extends pulumi.ComponentResource {
  readonly instanceId: pulumi.Output<string>;
  /** Who depends on it finds a healthy member, or one that waits for the others of a new cluster. */
  readonly healthy: pulumi.Resource;

  constructor(name: string, args: EtcdMemberArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:EtcdMember', name, {}, options);
    const { place, keyArn, data, machines } = args;
    const { protect, retainData: retainOnDelete } = data;
    const networkInterface = new NetworkInterface(
      name,
      {
        subnetId: place.subnetId,
        privateIps: [place.address],
        securityGroups: [machines.securityGroupId],
        description: `etcd member ${place.name} of flannel`,
        tags: named(name, 'etcd'),
      },
      { parent: this, protect, deleteBeforeReplace: true },
    );
    const volume = new Volume(
      `${name}-data`,
      {
        availabilityZone: place.zone,
        type: 'gp3',
        size: DATA_VOLUME_GIB,
        encrypted: true,
        kmsKeyId: keyArn,
        tags: named(`${name}-data`, 'etcd'),
      },
      { parent: this, protect, retainOnDelete },
    );
    const instance = this.instance(name, args, networkInterface, volume);
    const attached = new VolumeAttachment(
      `${name}-data`,
      {
        deviceName: DATA_DEVICE,
        volumeId: volume.id,
        instanceId: instance.id,
        // Unmounted, and after a last snapshot.
        stopInstanceBeforeDetaching: true,
      },
      { parent: this, deleteBeforeReplace: true },
    );
    this.instanceId = instance.id;
    // Another type restarts the same instance: the next member waits until this one is healthy on it.
    const commands = [`# on ${machines.instanceType}`, WAIT_UNTIL_HEALTHY];
    this.healthy = runOn(`${name}-healthy`, { region: args.region, instance: instance.id }, commands, {
      parent: this,
      dependsOn: [attached],
    });
    this.registerOutputs({ instanceId: instance.id });
  }

  private instance(name: string, args: EtcdMemberArgs, networkInterface: NetworkInterface, volume: Volume): Instance {
    const { machines, tags } = args;
    const own = { ...tags, ...named(name, 'etcd') };
    return new Instance(
      name,
      {
        ami: machines.imageId,
        instanceType: machines.instanceType,
        iamInstanceProfile: machines.instanceProfile,
        primaryNetworkInterface: { networkInterfaceId: networkInterface.id },
        userDataBase64: userData(args, volume.id).apply((text) => Buffer.from(text).toString('base64')),
        userDataReplaceOnChange: true,
        metadataOptions: METADATA_OPTIONS,
        rootBlockDevice: { ...ROOT_VOLUME, tags: own },
        tags: own,
      },
      // An image that nobody has asked for is no reason to replace members: it comes with the next change that is one.
      {
        parent: this,
        deleteBeforeReplace: true,
        ignoreChanges: machines.imageAsked ? [] : ['ami'],
        dependsOn: [...args.after],
      },
    );
  }
}

function userData(args: EtcdMemberArgs, volumeId: pulumi.Output<string>): pulumi.Output<string> {
  const { stack, region, place, members, artifact, parameters, networkParameter, snapshots } = args;
  const known = pulumi.all([artifact.bucket, snapshots.bucket, volumeId]);
  return known.apply(([artifactBucket, snapshotBucket, volumeId]) =>
    etcdUserData({
      stack,
      region,
      name: place.name,
      address: place.address,
      members: members.map(({ name, address }) => ({ name, address })),
      artifact: { bucket: artifactBucket, key: artifact.key, sha256: artifact.sha256 },
      parameters,
      networkConfig: { parameter: networkParameter },
      dataDevice: DATA_DEVICE,
      volumeId,
      snapshots: { bucket: snapshotBucket, prefix: snapshots.prefix },
    }),
  );
}

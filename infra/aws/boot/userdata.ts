/**
 * User-data of the machines in AWS. It holds no secret, because everyone who may describe the instance can read it: it names
 * parameters and an artifact, which the machine fetches with the role of its instance.
 */
import { DEFAULT_ETCD_PREFIX } from '@flannel-ts/flannel/defaults';
import { activateScript, quote, stageScript } from '../../node/artifact.ts';
import { type BootFile, nodeBoot } from '../../node/files.ts';
import { renderCloudConfig } from './cloud-config.ts';
import {
  cloudEtcdBoot,
  etcdBootstrapService,
  etcdService,
  etcdSettleService,
  sandboxDropIn,
  snapshotService,
  snapshotTimer,
  sweepService,
  sweepTimer,
} from './etcd-units.ts';
import { bootstrapTimer, flanneldService, lifecycleService, NODE_STOPPED, nodeBootstrapService } from './node-units.ts';
import { LIBRARY, script } from './scripts.ts';

/** An object in S3, verified by the machine that fetches it. */
export interface StoredFile {
  readonly bucket: string;
  readonly key: string;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** URLs to use instead of AWS's own, for private clouds and tests. */
export interface ServiceEndpoints {
  readonly s3?: string;
  readonly ssm?: string;
  readonly ec2?: string;
  readonly autoscaling?: string;
}

export interface GroupMembership {
  /** Name of the SSM parameter by which the node switches its own source/destination check. */
  readonly sourceDestCheck: string;
  /** Names of the group's hooks: that which waits until a node is ready, and that which waits until it has given its lease back. */
  readonly hooks: { readonly launch: string; readonly terminate: string };
}

export interface NodeUserData {
  readonly stack: string;
  readonly region: string;
  readonly artifact: StoredFile;
  readonly etcdEndpoints: readonly string[];
  /** Names of SSM parameters. */
  readonly parameters: { readonly ca: string; readonly certificate: string; readonly key: string };
  /** What a node of an Auto Scaling group does for itself. */
  readonly group?: GroupMembership;
  readonly endpoints?: ServiceEndpoints;
}

export function nodeUserData(node: NodeUserData): string {
  const { files, unit } = nodeBoot({ root: '', etcdEndpoints: node.etcdEndpoints });
  const { group } = node;
  return renderCloudConfig({
    title: `a node of flannel's stack ${node.stack}`,
    files: [
      bootstrapEnvironment(node, {
        PARAMETER_CA: node.parameters.ca,
        PARAMETER_CERTIFICATE: node.parameters.certificate,
        PARAMETER_KEY: node.parameters.key,
        ...(group !== undefined && {
          PARAMETER_SOURCE_DEST_CHECK: group.sourceDestCheck,
          HOOK_LAUNCH: group.hooks.launch,
          HOOK_TERMINATE: group.hooks.terminate,
          READY_URL: unit.readyUrl,
        }),
      }),
      ...files,
      systemUser('flannel', 'flanneld'),
      script('cloud'),
      script('parameter'),
      ...installScripts(node.artifact, 'flannel'),
      script('node-prepare', `${LIBRARY}/prepare`),
      script('node-bootstrap', `${LIBRARY}/bootstrap`),
      ...(group === undefined ? [] : groupFiles()),
      systemd('flannel-bootstrap.service', nodeBootstrapService()),
      systemd('flannel-bootstrap.timer', bootstrapTimer("flannel's artifact and certificate, looked for once a day")),
      systemd('flanneld.service', flanneldService(unit, group === undefined ? [] : [NODE_STOPPED])),
    ],
    commands: start([
      'flannel-bootstrap.service',
      'flannel-bootstrap.timer',
      'flanneld.service',
      ...(group === undefined ? [] : ['flannel-lifecycle.service']),
    ]),
  });
}

function groupFiles(): BootFile[] {
  return [
    script('node-source-check', `${LIBRARY}/source-check`),
    script('node-lifecycle', `${LIBRARY}/lifecycle`),
    systemd('flannel-lifecycle.service', lifecycleService()),
  ];
}

/** The SSM parameters of an etcd member, by the file that each becomes. */
export type EtcdParameter = 'clientCa' | 'peerCa' | 'server' | 'serverKey' | 'peer' | 'peerKey' | 'admin' | 'adminKey';

export interface EtcdUserData {
  readonly stack: string;
  readonly region: string;
  readonly name: string;
  readonly address: string;
  /** All planned members, including this one. The first one sets up users and the network config. */
  readonly members: readonly { readonly name: string; readonly address: string }[];
  /** etcd's binaries. */
  readonly artifact: StoredFile;
  readonly parameters: Readonly<Record<EtcdParameter, string>>;
  /** flannel's network config as JSON, or the name of the parameter that holds it: then a change does not replace the machine. */
  readonly networkConfig: string | { readonly parameter: string };
  /** As it was attached, /dev/sdf; where it is an NVMe device it is found by `volumeId`. */
  readonly dataDevice: string;
  readonly volumeId?: string;
  /** Prefix without a slash at its end. */
  readonly snapshots: { readonly bucket: string; readonly prefix: string };
  readonly endpoints?: ServiceEndpoints;
}

export function etcdUserData(member: EtcdUserData): string {
  const { networkConfig: network, parameters } = member;
  const { files, unit } = cloudEtcdBoot(member.name, member.address);
  return renderCloudConfig({
    title: `etcd member ${member.name} of flannel's stack ${member.stack}`,
    files: [
      bootstrapEnvironment(member, {
        STACK: member.stack,
        ARTIFACT: member.artifact.sha256,
        MEMBER: member.name,
        ADDRESS: member.address,
        MEMBERS: member.members.map(({ name, address }) => `${name}=${address}`).join(' '),
        DATA_DEVICE: member.dataDevice,
        VOLUME_ID: member.volumeId ?? '',
        SNAPSHOT_BUCKET: member.snapshots.bucket,
        SNAPSHOT_PREFIX: member.snapshots.prefix,
        ETCD_PREFIX: DEFAULT_ETCD_PREFIX,
        PARAMETER_CLIENT_CA: parameters.clientCa,
        PARAMETER_PEER_CA: parameters.peerCa,
        PARAMETER_SERVER: parameters.server,
        PARAMETER_SERVER_KEY: parameters.serverKey,
        PARAMETER_PEER: parameters.peer,
        PARAMETER_PEER_KEY: parameters.peerKey,
        PARAMETER_ADMIN: parameters.admin,
        PARAMETER_ADMIN_KEY: parameters.adminKey,
        ...(typeof network === 'object' && { PARAMETER_NETWORK: network.parameter }),
      }),
      ...(typeof network === 'string'
        ? [{ path: '/etc/flannel/network.json', mode: '0644', content: `${network}\n` }]
        : []),
      ...files,
      systemUser('etcd', 'etcd'),
      script('cloud'),
      script('parameter'),
      ...installScripts(member.artifact, 'etcd'),
      systemd('flannel-.service.d/sandbox.conf', sandboxDropIn()),
      systemd('flannel-bootstrap.service', etcdBootstrapService()),
      systemd('flannel-bootstrap.timer', bootstrapTimer("etcd's certificates, looked for once a day")),
      systemd('flannel-settle.service', etcdSettleService()),
      systemd('flannel-snapshot.service', snapshotService()),
      systemd('flannel-snapshot.timer', snapshotTimer()),
      systemd('flannel-sweep.service', sweepService()),
      systemd('flannel-sweep.timer', sweepTimer()),
      systemd('etcd.service', etcdService(unit)),
    ],
    commands: start([
      'flannel-bootstrap.service',
      'flannel-bootstrap.timer',
      'etcd.service',
      'flannel-settle.service',
      'flannel-snapshot.timer',
      'flannel-sweep.timer',
    ]),
  });
}

function bootstrapEnvironment(
  { region, endpoints }: { readonly region: string; readonly endpoints?: ServiceEndpoints },
  variables: Readonly<Record<string, string>>,
): BootFile {
  const { s3, ssm, ec2, autoscaling } = endpoints ?? {};
  const services = { ENDPOINT_S3: s3, ENDPOINT_SSM: ssm, ENDPOINT_EC2: ec2, ENDPOINT_AUTOSCALING: autoscaling };
  const all = Object.entries({ REGION: region, ...variables, ...services });
  const lines = all.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quote(value)}\n`]));
  return { path: '/etc/flannel/bootstrap.env', mode: '0644', content: lines.join('') };
}

/** The same staging and activating as everywhere; only the way of fetching is S3's. */
function installScripts({ bucket, key, sha256 }: StoredFile, product: 'flannel' | 'etcd'): BootFile[] {
  const fetch = `${LIBRARY}/cloud s3api get-object --bucket ${quote(bucket)} --key ${quote(key)} "$archive" >/dev/null`;
  const install = { root: '', url: `s3://${bucket}/${key}`, sha256, fetch, product };
  return [
    { path: `${LIBRARY}/stage`, mode: '0755', content: stageScript(install) },
    { path: `${LIBRARY}/activate`, mode: '0755', content: activateScript(install) },
  ];
}

function systemUser(name: string, what: string): BootFile {
  return { path: `/etc/sysusers.d/${name}.conf`, mode: '0644', content: `u ${name} - "${what}" / -\n` };
}

function systemd(name: string, content: string): BootFile {
  return { path: `/etc/systemd/system/${name}`, mode: '0644', content };
}

/** Without waiting: cloud-init is part of the boot, and some units wait for others of it. */
function start(units: readonly string[]): string[][] {
  return [
    ['systemd-sysusers'],
    ['systemctl', 'daemon-reload'],
    ['systemctl', 'enable', ...units],
    ['systemctl', 'start', '--no-block', ...units],
  ];
}

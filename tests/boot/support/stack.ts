/**
 * What `pulumi up` makes around the machines of a stack in AWS, here in a lab: parameters with certificates, artifacts, roles
 * with the stack's own statements. User-data is rendered by what the stack renders it with.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { artifactPrefix } from '../../../infra/aws/artifacts.ts';
import { type EtcdUserData, etcdUserData, nodeUserData, type StoredFile } from '../../../infra/aws/boot/userdata.ts';
import { HOOKS, parameterPath, type Role } from '../../../infra/aws/contract.ts';
import { statements } from '../../../infra/aws/iam.ts';
import { STACK_TAG } from '../../../infra/aws/tags.ts';
import { type IssuedOutputs, issueAuthority, issueCertificate } from '../../../infra/local/host/certificates.ts';
import { readArtifact } from '../../../infra/node/artifact.ts';
import { ETCD_PEER_NAME, etcdClientUrl } from '../../../infra/node/files.ts';
import type { Usage } from '../../../infra/pki.ts';
import { makeEtcdArtifact } from '../../../tools/build/etcd.ts';
import { type Lab, SERVICES_URL, type Zone } from './lab.ts';
import type { BlockDevice, Machine } from './machine.ts';
import type { Credentials } from './metadata.ts';
import { REGION } from './services.ts';
import type { Volume } from './volume.ts';

const ROOT = join(__dirname, '../../..');
const ENDPOINTS = { s3: SERVICES_URL, ssm: SERVICES_URL, ec2: SERVICES_URL, autoscaling: SERVICES_URL };
const ARTIFACTS = 'artifacts';
export const SNAPSHOTS = { bucket: 'snapshots', prefix: 'etcd' };
const DATA_DEVICE = 'sdf';
const EMPTY = gzipSync('');

export interface Place {
  readonly name: string;
  readonly zone: Zone;
  readonly address: string;
}

export interface StackSetup {
  readonly name: string;
  readonly members: readonly Place[];
  /** flannel's network configuration, as JSON. */
  readonly network: string;
}

export class BootedStack {
  private readonly roles: Record<Role, Credentials>;
  private revisions = 0;

  private constructor(
    readonly lab: Lab,
    private readonly setup: StackSetup,
    /** What the nodes run when they are new. */
    readonly flannel: StoredFile,
    private readonly etcd: StoredFile,
  ) {
    this.roles = { node: this.addRole('node'), etcd: this.addRole('etcd') };
    lab.services.instanceTags[STACK_TAG] = setup.name;
  }

  /** Needs what `npm run build` makes. */
  static async create(lab: Lab, setup: StackSetup): Promise<BootedStack> {
    const { source } = readArtifact(join(ROOT, 'dist'));
    const flannel = storeArtifact(lab, 'node', readFileSync(source));
    const stack = new BootedStack(lab, setup, flannel, storeArtifact(lab, 'etcd', await packEtcd()));
    await stack.issueCertificates();
    stack.setNetwork(setup.network);
    return stack;
  }

  get endpoints(): string[] {
    return this.setup.members.map(({ address }) => etcdClientUrl(address));
  }

  /** An artifact that there was not before, with the same programs in it. */
  anotherArtifact(): StoredFile {
    // A further member of nothing (RFC 1952, 2.2): unpacked it is the same.
    this.revisions++;
    const nothing = Buffer.alloc(this.revisions * EMPTY.length, EMPTY);
    return storeArtifact(this.lab, 'node', Buffer.concat([this.stored(this.flannel), nothing]));
  }

  stored(file: StoredFile): Buffer {
    return this.lab.services.objects.get(objectName(file))!;
  }

  /** Other bytes under the same name. */
  store(file: StoredFile, bytes: Buffer): void {
    this.lab.services.objects.set(objectName(file), bytes);
  }

  nodeUserData(artifact = this.flannel): string {
    const path = parameterPath(this.setup.name, 'node');
    return nodeUserData({
      stack: this.setup.name,
      region: REGION,
      artifact,
      etcdEndpoints: this.endpoints,
      parameters: { ca: `${path}/ca`, certificate: `${path}/certificate`, key: `${path}/key` },
      group: { sourceDestCheck: `${path}/source-dest-check`, hooks: HOOKS },
      endpoints: ENDPOINTS,
    });
  }

  node(place: Place, artifact = this.flannel): Machine {
    const role = { role: 'node', credentials: this.roles.node };
    return this.lab.instance({
      ...place,
      ...role,
      userData: this.nodeUserData(artifact),
      group: `${this.setup.name}-nodes`,
    });
  }

  /** With its data volume; a blank one begins a member's life. Without one it waits for `attach(dataDevice(volume))`. */
  member(place: Place, volume?: Volume): Machine {
    const { name: stack, members } = this.setup;
    const userData = etcdUserData({
      stack,
      region: REGION,
      name: place.name,
      address: place.address,
      members,
      artifact: this.etcd,
      parameters: this.memberParameters(place.name),
      networkConfig: { parameter: this.memberParameter('network') },
      dataDevice: `/dev/${DATA_DEVICE}`,
      snapshots: SNAPSHOTS,
      endpoints: ENDPOINTS,
    });
    const role = { role: 'etcd', credentials: this.roles.etcd };
    return this.lab.instance({ ...place, ...role, userData, disks: volume ? [dataDevice(volume)] : [] });
  }

  setNetwork(json: string): void {
    this.setParameter('etcd/network', json);
  }

  setSourceDestCheck(value: 'on' | 'off'): void {
    this.setParameter('node/source-dest-check', value);
  }

  private memberParameter(name: string): string {
    return `${parameterPath(this.setup.name, 'etcd')}/${name}`;
  }

  private memberParameters(name: string): EtcdUserData['parameters'] {
    const shared = { clientCa: 'client-ca', peerCa: 'peer-ca', admin: 'admin', adminKey: 'admin-key' };
    const own = { server: 'server', serverKey: 'server-key', peer: 'peer', peerKey: 'peer-key' };
    return {
      ...mapValues(shared, (parameter) => this.memberParameter(parameter)),
      ...mapValues(own, (parameter) => this.memberParameter(`${name}/${parameter}`)),
    };
  }

  private setParameter(name: string, value: string): void {
    const type = name.endsWith('key') ? 'SecureString' : 'String';
    this.lab.services.parameters.set(`/flannel/${this.setup.name}/${name}`, { type, value });
  }

  private addRole(role: Role): Credentials {
    return this.lab.services.addRole(
      role,
      statements({
        stack: this.setup.name,
        role,
        keyArn: `arn:aws:kms:${REGION}:${this.lab.services.account}:key/stack`,
        artifactsArn: `arn:aws:s3:::${ARTIFACTS}`,
        snapshots: { bucketArn: `arn:aws:s3:::${SNAPSHOTS.bucket}`, prefix: SNAPSHOTS.prefix },
        inGroup: true,
      }),
    );
  }

  private async issueCertificates(): Promise<void> {
    const { name: stack, members } = this.setup;
    const authority = (who: string) =>
      issueAuthority({ stack, commonName: `flannel ${stack} etcd ${who}`, validDays: 1 });
    const [clients, peers] = [await authority('clients'), await authority('peers')];
    const publish = async (name: string, signer: IssuedOutputs, subject: Subject) => {
      const { certificate, key } = await issue(stack, signer, subject);
      this.setParameter(name, certificate);
      this.setParameter(`${name}-key`, key);
    };
    this.setParameter('etcd/client-ca', clients.certificate);
    this.setParameter('etcd/peer-ca', peers.certificate);
    await publish('etcd/admin', clients, { commonName: 'root', usages: ['client'] });
    for (const { name, address } of members) {
      const at = { dnsNames: [name], ipAddresses: [address] };
      await publish(`etcd/${name}/server`, clients, { commonName: name, usages: ['server'], ...at });
      await publish(`etcd/${name}/peer`, peers, { commonName: ETCD_PEER_NAME, usages: ['server', 'client'], ...at });
    }
    const node = await issue(stack, clients, { commonName: 'flanneld', usages: ['client'] });
    this.setParameter('node/ca', clients.certificate);
    this.setParameter('node/certificate', node.certificate);
    this.setParameter('node/key', node.key);
    this.setSourceDestCheck('off');
  }
}

export function dataDevice(volume: Volume): BlockDevice {
  return volume.as(DATA_DEVICE);
}

interface Subject {
  readonly commonName: string;
  readonly usages: readonly Usage[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

function issue(stack: string, signer: IssuedOutputs, subject: Subject): Promise<IssuedOutputs> {
  return issueCertificate({
    stack,
    dnsNames: [],
    ipAddresses: [],
    ...subject,
    validDays: 1,
    renewDays: 0,
    authorityCertificate: signer.certificate,
    authorityKey: signer.key,
  });
}

function storeArtifact(lab: Lab, role: Role, bytes: Buffer): StoredFile {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const file = { bucket: ARTIFACTS, key: `${artifactPrefix(role)}/${sha256}/artifact.tar.gz`, sha256 };
  lab.services.objects.set(objectName(file), bytes);
  return file;
}

function objectName({ bucket, key }: StoredFile): string {
  return `${bucket}/${key}`;
}

export async function packEtcd(): Promise<Buffer> {
  const directory = mkdtempSync(join(tmpdir(), 'fltest-etcd-artifact-'));
  try {
    const { file } = await makeEtcdArtifact(ROOT, { output: join(directory, 'etcd') }, process.env);
    return readFileSync(file);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function mapValues<K extends string>(
  values: Readonly<Record<K, string>>,
  change: (value: string) => string,
): Record<K, string> {
  const changed = Object.entries<string>(values).map(([key, value]) => [key, change(value)]);
  return Object.fromEntries(changed) as Record<K, string>;
}

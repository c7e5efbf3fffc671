/** The bucket that machines fetch their programs from, each under its sha256: another one is another object. */
import { BucketObjectv2 } from '@pulumi/aws/s3/bucketObjectv2';
import * as pulumi from '@pulumi/pulumi';
import type { Artifact } from '../node/artifact.ts';
import { PrivateBucket } from './bucket.ts';
import type { Role, StoredObject } from './contract.ts';

export interface FlannelArtifactsArgs {
  readonly keyArn: pulumi.Input<string>;
  readonly protect: boolean;
  /** What each role runs. */
  readonly artifacts: Readonly<Record<Role, Artifact>>;
}

export class FlannelArtifacts extends pulumi.ComponentResource {
  readonly bucketArn: pulumi.Output<string>;
  readonly objects: Readonly<Record<Role, StoredObject>>;

  constructor(
    name: string,
    { keyArn, protect, artifacts }: FlannelArtifactsArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:Artifacts', name, {}, options);
    // Builds are reproducible: the bucket's content must not keep a stack from being destroyed.
    const store = new PrivateBucket(name, { keyArn, protect, forceDestroy: !protect }, { parent: this });
    this.bucketArn = store.arn;
    const put = (role: Role): StoredObject => {
      const { sha256, file, source } = artifacts[role];
      const object = new BucketObjectv2(
        `${name}-${role}`,
        {
          bucket: store.bucket,
          key: objectKey(role, sha256, file),
          source: new pulumi.asset.FileAsset(source),
          sourceHash: sha256,
          checksumAlgorithm: 'SHA256',
        },
        // The previous one stays: machines of a running instance refresh may fetch it, and a rollback needs no upload.
        { parent: this, dependsOn: [...store.guards], retainOnDelete: true },
      );
      return { bucket: object.bucket, key: objectKey(role, sha256, file), sha256 };
    };
    this.objects = { node: put('node'), etcd: put('etcd') };
    this.registerOutputs({ bucketArn: this.bucketArn });
  }
}

/** Below which a role's artifacts are; its instance role may read these and no others. */
export function artifactPrefix(role: Role): string {
  return role;
}

function objectKey(role: Role, sha256: string, file: string): string {
  return `${artifactPrefix(role)}/${sha256}/${file}`;
}

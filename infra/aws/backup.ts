/** Where etcd's snapshots are kept, and how long. */
import { BucketLifecycleConfiguration } from '@pulumi/aws/s3/bucketLifecycleConfiguration';
import * as pulumi from '@pulumi/pulumi';
import { PrivateBucket } from './bucket.ts';
import type { DataProtection, ObjectFolder } from './contract.ts';

export interface EtcdBackupArgs {
  readonly stack: string;
  /** The stack's key. */
  readonly keyArn: pulumi.Input<string>;
  readonly data: DataProtection;
}

/** Below it are `snapshots/`, and `formed`: by this object a member without data knows that it must not found a cluster. */
const FOLDER = 'etcd';
const SNAPSHOT_DAYS = 30;
/** A deleted or overwritten object can be had back for as long. */
const VERSION_DAYS = 7;

/** A bucket of its own, because with `retainData` it outlives the stack. */
export class EtcdBackup extends pulumi.ComponentResource {
  readonly bucketArn: pulumi.Output<string>;
  readonly folder: ObjectFolder;

  constructor(name: string, { keyArn, data }: EtcdBackupArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Backup', name, {}, options);
    const { protect, retainData: retain, forceDestroy } = data;
    const { bucket, arn, guards } = new PrivateBucket(
      name,
      { keyArn, forceDestroy, protect, retain },
      { parent: this },
    );
    new BucketLifecycleConfiguration(
      name,
      {
        bucket,
        rules: [
          {
            id: 'snapshots',
            status: 'Enabled',
            filter: { prefix: `${FOLDER}/snapshots/` },
            expiration: { days: SNAPSHOT_DAYS },
            noncurrentVersionExpiration: { noncurrentDays: VERSION_DAYS },
            abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
          },
        ],
      },
      { parent: this, retainOnDelete: retain, dependsOn: [...guards] },
    );
    this.bucketArn = arn;
    this.folder = { bucket, prefix: FOLDER };
    this.registerOutputs({ bucketArn: arn });
  }
}

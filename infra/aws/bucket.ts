/** A bucket as all of a stack's are: private, encrypted with the stack's key, versioned, and not served without TLS. */
import { Bucket } from '@pulumi/aws/s3/bucket';
import { BucketOwnershipControls } from '@pulumi/aws/s3/bucketOwnershipControls';
import { BucketPolicy } from '@pulumi/aws/s3/bucketPolicy';
import { BucketPublicAccessBlock } from '@pulumi/aws/s3/bucketPublicAccessBlock';
import { BucketServerSideEncryptionConfiguration } from '@pulumi/aws/s3/bucketServerSideEncryptionConfiguration';
import { BucketVersioning } from '@pulumi/aws/s3/bucketVersioning';
import * as pulumi from '@pulumi/pulumi';
import { onlyByTls, policy } from './policy.ts';
import { named } from './tags.ts';

/** Names of buckets are the whole world's; whoever makes these needs to be allowed no others of the account. */
export const BUCKET_PREFIX = 'flannel-';

export interface PrivateBucketArgs {
  readonly keyArn: pulumi.Input<string>;
  /** Its objects go with it. */
  readonly forceDestroy: boolean;
  readonly protect: boolean;
  readonly retain?: boolean;
}

export class PrivateBucket extends pulumi.ComponentResource {
  readonly bucket: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;
  /** What must be there before an object is. */
  readonly guards: readonly pulumi.Resource[];

  constructor(name: string, args: PrivateBucketArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Bucket', name, {}, options);
    const { keyArn, forceDestroy, protect, retain = false } = args;
    const bucket = new Bucket(
      `${BUCKET_PREFIX}${name}`,
      { forceDestroy, tags: named(name) },
      { parent: this, protect, retainOnDelete: retain },
    );
    this.bucket = bucket.bucket;
    this.arn = bucket.arn;
    const access = new BucketPublicAccessBlock(
      name,
      {
        bucket: this.bucket,
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      },
      { parent: this, retainOnDelete: retain },
    );
    this.guards = [
      access,
      new BucketOwnershipControls(
        name,
        { bucket: this.bucket, rule: { objectOwnership: 'BucketOwnerEnforced' } },
        { parent: this, retainOnDelete: retain },
      ),
      new BucketVersioning(
        name,
        { bucket: this.bucket, versioningConfiguration: { status: 'Enabled' } },
        { parent: this, retainOnDelete: retain },
      ),
      new BucketServerSideEncryptionConfiguration(
        name,
        {
          bucket: this.bucket,
          rules: [
            {
              applyServerSideEncryptionByDefault: { sseAlgorithm: 'aws:kms', kmsMasterKeyId: keyArn },
              // One request to KMS for many objects.
              bucketKeyEnabled: true,
            },
          ],
        },
        { parent: this, retainOnDelete: retain },
      ),
      // S3 refuses two changes of a bucket's access at once.
      new BucketPolicy(
        name,
        { bucket: this.bucket, policy: this.arn.apply((arn) => policy([onlyByTls(arn)])) },
        { parent: this, retainOnDelete: retain, dependsOn: [access] },
      ),
    ];
    this.registerOutputs({ bucket: this.bucket });
  }
}

/** The key of a stack: what it keeps is encrypted with it, and IAM says who may use it for what. */
import { Alias } from '@pulumi/aws/kms/alias';
import { Key } from '@pulumi/aws/kms/key';
import * as pulumi from '@pulumi/pulumi';
import type { DataProtection } from './contract.ts';
import { named } from './tags.ts';

export interface StackKeyArgs {
  readonly stack: string;
  readonly data: DataProtection;
}

/** KMS's shortest and longest. */
const SHORT_WAIT_DAYS = 7;
const LONG_WAIT_DAYS = 30;

export class StackKey extends pulumi.ComponentResource {
  readonly arn: pulumi.Output<string>;

  constructor(name: string, { stack, data }: StackKeyArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Key', name, {}, options);
    // Without a policy of its own: KMS's default leaves it to IAM, where the roles of machines are least-privilege.
    const key = new Key(
      name,
      {
        description: `flannel stack ${stack}: parameters, artifacts, snapshots, etcd volumes`,
        enableKeyRotation: true,
        deletionWindowInDays: data.protect ? LONG_WAIT_DAYS : SHORT_WAIT_DAYS,
        tags: named(name),
      },
      // Volumes and snapshots that outlive the stack are worth nothing without it.
      { parent: this, protect: data.protect, retainOnDelete: data.retainData },
    );
    new Alias(name, { name: `alias/flannel/${stack}`, targetKeyId: key.keyId }, { parent: this });
    this.arn = key.arn;
    this.registerOutputs({ arn: this.arn });
  }
}

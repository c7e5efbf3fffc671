/** What every machine has, whatever it does: how it is reached, how it is encrypted, what it boots from. */
import { getParameterOutput } from '@pulumi/aws/ssm/getParameter';
import type * as pulumi from '@pulumi/pulumi';
import type { Architecture } from './contract.ts';

/**
 * Instance metadata by sessions only (IMDSv2), and for the machine itself: packets to pods are one hop further. Its tags tell
 * a machine which stack it is of.
 */
export const METADATA_OPTIONS = {
  httpEndpoint: 'enabled',
  httpTokens: 'required',
  httpPutResponseHopLimit: 1,
  instanceMetadataTags: 'enabled',
} as const;

/** In GiB: the image has 8, and artifacts and logs little. */
const ROOT_VOLUME_GIB = 10;

/** Encrypted with the account's own key for EBS: nothing on it outlives the machine, and no grant is needed to boot. */
export const ROOT_VOLUME = {
  volumeType: 'gp3',
  volumeSize: ROOT_VOLUME_GIB,
  encrypted: true,
  deleteOnTermination: true,
} as const;

/** Where Amazon Linux's image has its root (DescribeImages, RootDeviceName). */
export const ROOT_DEVICE = '/dev/xvda';

const AMAZONS_NAMES: Readonly<Record<Architecture, string>> = { arm64: 'arm64', amd64: 'x86_64' };

/** The image of Amazon Linux 2023 that is the newest now (user guide, "Getting started with AL2023 on Amazon EC2"). */
export function newestImage(architecture: Architecture, options: pulumi.InvokeOptions): pulumi.Output<string> {
  const name = `/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${AMAZONS_NAMES[architecture]}`;
  return getParameterOutput({ name }, options).value;
}

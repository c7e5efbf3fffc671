/** What every machine has, whatever it does: how it is reached, how it is encrypted, what it boots from. */
import { getParameterOutput } from '@pulumi/aws/ssm/getParameter';
import * as pulumi from '@pulumi/pulumi';
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

/**
 * The image of Amazon Linux 2023 that was the newest when the stack was made (user guide, "Getting started with AL2023 on Amazon EC2"). The
 * state keeps it: Amazon publishes one every few weeks, which is no reason to replace machines. A newer one is told at each `up`.
 */
export function keptImage(architecture: Architecture, options: pulumi.CustomResourceOptions): pulumi.Output<string> {
  const name = `/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${AMAZONS_NAMES[architecture]}`;
  const { parent } = options;
  // A public parameter is no secret: as one, it would hide what previews are read for.
  const newest = getParameterOutput({ name }, { ...(parent && { parent }) }).insecureValue;
  const kept = new pulumi.Stash(`image-${architecture}`, { input: newest }, { ...options, ignoreChanges: ['input'] });
  return pulumi.all([kept.output, newest]).apply(([image, available]) => {
    if (image !== available) {
      void pulumi.log.info(
        `A newer image is there: ${available}. Machines stay with ${image} until imageId names another`,
      );
    }
    return String(image);
  });
}

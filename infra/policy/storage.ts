/** What is kept: encrypted, private, and not lost by mistake. */
import {
  type Finding,
  isProduction,
  knownOr,
  type Props,
  resourcePolicy,
  type StackResource,
  stackPolicy,
  type Type,
  unless,
} from './rule.ts';

const NOT_ENCRYPTED = 'encrypted';

export const encryptedVolumes = resourcePolicy('encrypted-volumes', 'Every volume is encrypted, the root as well.', {
  'aws:ebs/volume:Volume': ({ encrypted }) => unless(encrypted === true, 'Is not encrypted: set "encrypted"'),
  'aws:ec2/instance:Instance': ({ rootBlockDevice, ebsBlockDevices = [] }) => [
    ...unless(rootBlockDevice?.encrypted === true, `Has a root that is not ${NOT_ENCRYPTED}: see rootBlockDevice`),
    ...ebsBlockDevices
      .filter(({ encrypted }) => encrypted !== true)
      .map(({ deviceName }) => `Has a volume at ${deviceName} that is not ${NOT_ENCRYPTED}`),
  ],
  'aws:ec2/launchTemplate:LaunchTemplate': ({ blockDeviceMappings = [] }) => [
    ...unless(
      blockDeviceMappings.length > 0,
      `Takes the image's root as it is: say in blockDeviceMappings that it is encrypted`,
    ),
    ...blockDeviceMappings
      .filter(({ ebs }) => ebs?.encrypted !== 'true')
      .map(({ deviceName }) => `Has a volume at ${deviceName} that is not ${NOT_ENCRYPTED}`),
  ],
});

const DAYS = { least: 7, mostlyInProduction: 30 } as const;

export const patientKeys = resourcePolicy(
  'patient-keys',
  'Keys are rotated, and are deleted only after a wait: 7 days at least, in production 30.',
  {
    'aws:kms/key:Key': ({ deletionWindowInDays, enableKeyRotation }, { stack }) => {
      const least = isProduction(stack) ? DAYS.mostlyInProduction : DAYS.least;
      return [
        ...unless(
          (deletionWindowInDays ?? 0) >= least,
          `Can be lost too soon: set deletionWindowInDays to ${least} or more`,
        ),
        ...unless(enableKeyRotation === true, 'Is never rotated: set enableKeyRotation'),
      ];
    },
  },
);

export const protectedData = resourcePolicy(
  'protected-data',
  'In production, what holds data is protected: volumes of etcd, keys, buckets.',
  {
    'aws:ebs/volume:Volume': (_, { stack, protect, tags }) =>
      unless(
        !isProduction(stack) || tags?.['flannel:role'] !== 'etcd' || protect,
        'Holds the data of etcd and is not protected: set "protect"',
      ),
    'aws:kms/key:Key': (_, { stack, protect }) =>
      unless(!isProduction(stack) || protect, 'Is what all data can be read with, and is not protected: set "protect"'),
    'aws:s3/bucket:Bucket': ({ forceDestroy }, { stack, protect }) =>
      unless(
        !isProduction(stack) || (protect && forceDestroy !== true),
        'Can be deleted with all in it: set "protect", and no forceDestroy',
      ),
  },
);

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

export const secureParameters = resourcePolicy(
  'secure-parameters',
  "Keys are SecureStrings, encrypted with the stack's own key.",
  {
    'aws:ssm/parameter:Parameter': ({ type, keyId, value, insecureValue }) =>
      type === 'SecureString'
        ? unless(
            keyId !== undefined && keyId !== 'alias/aws/ssm',
            'Is encrypted with a key that everything in the account uses: set keyId',
          )
        : unless(
            !PRIVATE_KEY.test(`${value ?? ''}${insecureValue ?? ''}`),
            'Holds a private key in clear: make it a SecureString',
          ),
  },
);

const BUCKET = 'aws:s3/bucket:Bucket';

/** A finding for every bucket beside which no resource of the type satisfies the condition. */
function besideEveryBucket<T extends Type>(
  type: T,
  satisfies: (props: Props<T>) => boolean,
  message: string,
): (resources: readonly StackResource[]) => Finding[] {
  return (resources) => {
    const good = resources.filter((each) => each.type === type && satisfies(each.props as Props<T>));
    const guarded = new Set(good.flatMap(({ from }) => from.bucket ?? []));
    return resources
      .filter(({ type: each, urn }) => each === BUCKET && !guarded.has(urn))
      .map(({ urn }) => ({ urn, message }));
  };
}

export const privateBuckets = stackPolicy(
  'private-buckets',
  'Every bucket refuses to be made public, in all four ways.',
  besideEveryBucket(
    'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock',
    (props) =>
      props.blockPublicAcls === true &&
      props.blockPublicPolicy === true &&
      props.ignorePublicAcls === true &&
      props.restrictPublicBuckets === true,
    'Has no BucketPublicAccessBlock that blocks all four ways into the public',
  ),
);

export const versionedBuckets = stackPolicy(
  'versioned-buckets',
  'What is overwritten or deleted in a bucket can be had back.',
  besideEveryBucket(
    'aws:s3/bucketVersioning:BucketVersioning',
    ({ versioningConfiguration }) => versioningConfiguration?.status === 'Enabled',
    'Has no BucketVersioning that is enabled',
  ),
);

interface Statement {
  readonly Effect?: string;
  readonly Condition?: { readonly Bool?: Readonly<Record<string, unknown>> };
}

function refusesPlainHttp(policy: unknown): boolean {
  if (policy === undefined) return false;
  const { Statement: statements = [] } = (typeof policy === 'string' ? JSON.parse(policy) : policy) as {
    Statement?: Statement | Statement[];
  };
  return [statements]
    .flat()
    .some(({ Effect, Condition }) => Effect === 'Deny' && String(Condition?.Bool?.['aws:SecureTransport']) === 'false');
}

export const bucketsByTls = stackPolicy(
  'buckets-by-tls',
  'No bucket is served without TLS.',
  besideEveryBucket(
    'aws:s3/bucketPolicy:BucketPolicy',
    // A preview does not know a text that names the bucket: there is one, and it is looked into when it is made.
    (props) => knownOr(true, () => refusesPlainHttp(props.policy)),
    'Has no BucketPolicy that denies what comes without TLS (aws:SecureTransport)',
  ),
);

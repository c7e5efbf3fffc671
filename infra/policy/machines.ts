/** What machines boot with. */
import { gunzipSync } from 'node:zlib';
import { resourcePolicy, unless } from './rule.ts';

/** EC2's limit, before base64. */
const MAX_USER_DATA = 16_384;
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a private key'],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/, 'an access key of AWS'],
  [/\baws_secret_access_key\b/i, 'a secret key of AWS'],
  // A variable's name, or what a command prints, is no secret.
  [/\b(?:password|passwd|passphrase|client_secret|api_?key)\b["']?\s*[:=]\s*["']?[^\s"'$<{(]/i, 'a password'],
];

interface MetadataOptions {
  readonly httpTokens?: string | undefined;
  readonly httpEndpoint?: string | undefined;
  readonly httpPutResponseHopLimit?: number | undefined;
}

const sessionsOnly = ({ metadataOptions }: { metadataOptions?: MetadataOptions | undefined }) =>
  metadataOptions?.httpEndpoint === 'disabled'
    ? []
    : [
        ...unless(
          metadataOptions?.httpTokens === 'required',
          'Answers for its metadata without a session: set metadataOptions.httpTokens to "required"',
        ),
        ...unless(
          metadataOptions?.httpPutResponseHopLimit === 1,
          'Lets pods get its credentials: set metadataOptions.httpPutResponseHopLimit to 1',
        ),
      ];

export const imdsV2 = resourcePolicy(
  'imds-v2',
  'Instance metadata is had by sessions only (IMDSv2), and by the machine alone, not by its pods.',
  { 'aws:ec2/instance:Instance': sessionsOnly, 'aws:ec2/launchTemplate:LaunchTemplate': sessionsOnly },
);

const checkUserData = (props: { userData?: string | undefined; userDataBase64?: string | undefined }) =>
  userDataProblems(
    props.userDataBase64 === undefined ? Buffer.from(props.userData ?? '') : decode(props.userDataBase64),
  );

function decode(base64 = ''): Buffer {
  return Buffer.from(base64, 'base64');
}

function userDataProblems(raw: Buffer): string[] {
  const size = raw.length;
  const packed = raw[0] === 0x1f && raw[1] === 0x8b; // RFC 1952; cloud-init unpacks it
  const text = (packed ? gunzipSync(raw) : raw).toString();
  return [
    ...unless(
      size <= MAX_USER_DATA,
      `Has user-data of ${size} bytes, EC2 takes ${MAX_USER_DATA}: fetch the rest at boot`,
    ),
    ...SECRETS.filter(([pattern]) => pattern.test(text)).map(
      ([, what]) =>
        `Has ${what} in its user-data, which everybody may read who may describe instances: put it into a SecureString`,
    ),
  ];
}

export const plainUserData = resourcePolicy(
  'plain-user-data',
  'User-data fits into 16 KB and holds no secrets, but the names of parameters.',
  {
    'aws:ec2/instance:Instance': checkUserData,
    // A launch template takes base64 only.
    'aws:ec2/launchTemplate:LaunchTemplate': ({ userData }) => userDataProblems(decode(userData)),
  },
);

const LAUNCHED = ['instance', 'volume', 'network-interface'];

export const taggedLaunches = resourcePolicy(
  'tagged-launches',
  'What a group launches bears the tags of its stack: default tags of the provider do not reach it.',
  {
    'aws:ec2/launchTemplate:LaunchTemplate': ({ tagSpecifications = [] }) =>
      LAUNCHED.filter(
        (kind) =>
          !tagSpecifications.some(
            ({ resourceType, tags }) =>
              resourceType === kind && tags?.['flannel:stack'] !== undefined && tags?.['flannel:role'] !== undefined,
          ),
      ).map(
        (kind) =>
          `Launches things of kind ${kind} without the tags flannel:stack and flannel:role: see tagSpecifications`,
      ),
  },
);

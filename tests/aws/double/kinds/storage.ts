/** Buckets, parameters, logs and names: terraform-provider-aws, internal/service/{s3,ssm,logs,route53}. */
import { ACCOUNT } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind, Reference } from '../kind.ts';
import { type Bag, plain, text } from '../values.ts';
import { policyProblem } from './access.ts';

const BUCKET = 'aws:s3/bucket:Bucket';
const OBJECT = 'aws:s3/bucketObjectv2:BucketObjectv2';
const PARAMETER = 'aws:ssm/parameter:Parameter';
const ZONE = 'aws:route53/zone:Zone';
const RECORD = 'aws:route53/record:Record';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const BUCKET_NAME = /^(?!xn--|\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html */
const PARAMETER_LIMITS: Readonly<Record<string, number>> = {
  Standard: 4096,
  Advanced: 8192,
  'Intelligent-Tiering': 8192,
};
/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const RETENTION = [
  0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

const ofBucket: Reference = { path: 'bucket', type: BUCKET, code: 'NoSuchBucket' };

/** A setting of a bucket is a resource of its own, named by the bucket. */
function bucketSetting(name: string, module: string, more: Partial<Kind> = {}): Kind {
  const type = `aws:s3/${module}:${name}`;
  return {
    type,
    untagged: true,
    overwrites: true,
    id: (inputs) => text(inputs, 'bucket')!,
    replaces: ['bucket'],
    references: [ofBucket],
    ...more,
  };
}

function admitParameter(inputs: Bag): void {
  const value = text(inputs, 'value') ?? text(inputs, 'insecureValue') ?? '';
  const limit = PARAMETER_LIMITS[text(inputs, 'tier') ?? 'Standard'] ?? 0;
  if (value === '' || Buffer.byteLength(value) > limit) {
    throw new ApiError(
      'ValidationException',
      `A parameter's value has 1 to ${limit} bytes, this has ${Buffer.byteLength(value)}`,
    );
  }
  const name = text(inputs, 'name')!;
  const depth = name.split('/').length - 1;
  if (
    !/^[a-zA-Z0-9_./-]+$/.test(name) ||
    /^\/?(aws|ssm)/i.test(name) ||
    depth > 15 ||
    (depth > 0 && !name.startsWith('/'))
  ) {
    throw new ApiError('ValidationException', `Parameter name: ${name} is not allowed`);
  }
}

export const STORAGE: readonly Kind[] = [
  {
    type: BUCKET,
    autoName: 'bucket',
    id: (inputs) => text(inputs, 'bucket')!,
    replaces: ['bucket', 'bucketPrefix', 'objectLockEnabled'],
    validate: ({ bucket }) => ({
      bucket:
        typeof bucket === 'string' && !BUCKET_NAME.test(bucket) ? `is no name for a bucket: "${bucket}"` : undefined,
    }),
    outputs: (_, id, { region }) => ({
      arn: `arn:aws:s3:::${id}`,
      bucketDomainName: `${id}.s3.amazonaws.com`,
      bucketRegionalDomainName: `${id}.s3.${region}.amazonaws.com`,
      forceDestroy: false,
    }),
    release: ({ id, inputs }, { cloud }) => {
      const objects = cloud.users(OBJECT, 'bucket', id);
      if (plain(inputs).forceDestroy === true) for (const object of objects) cloud.remove(OBJECT, object.id);
      else if (objects.length > 0)
        throw new ApiError(
          'BucketNotEmpty',
          `The bucket '${id}' you tried to delete is not empty (${objects.length} objects)`,
        );
    },
  },
  bucketSetting('BucketPublicAccessBlock', 'bucketPublicAccessBlock'),
  bucketSetting('BucketVersioning', 'bucketVersioning'),
  bucketSetting('BucketServerSideEncryptionConfiguration', 'bucketServerSideEncryptionConfiguration'),
  bucketSetting('BucketOwnershipControls', 'bucketOwnershipControls'),
  bucketSetting('BucketLifecycleConfiguration', 'bucketLifecycleConfiguration'),
  bucketSetting('BucketLogging', 'bucketLogging'),
  bucketSetting('BucketPolicy', 'bucketPolicy', {
    validate: ({ policy }) => ({ policy: policyProblem(policy, 'Principal') }),
  }),
  {
    type: OBJECT,
    overwrites: true,
    id: (inputs) => `${text(inputs, 'bucket')}/${text(inputs, 'key')}`,
    replaces: ['bucket', 'key'],
    references: [ofBucket],
    admit: (inputs) => {
      const given = ['source', 'content', 'contentBase64'].filter((key) => inputs[key] !== undefined);
      if (given.length !== 1)
        throw new ApiError('InvalidRequest', `An object needs one content, ${given.length} were given`);
    },
    outputs: (inputs) => ({
      arn: `arn:aws:s3:::${text(inputs, 'bucket')}/${text(inputs, 'key')}`,
      etag: '',
      versionId: 'v1',
    }),
  },
  {
    type: PARAMETER,
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'dataType'],
    validate: ({ type, keyId }) => ({
      type: ['String', 'StringList', 'SecureString'].includes(String(type)) ? undefined : `is ${String(type)}`,
      keyId: keyId !== undefined && type !== 'SecureString' ? 'is only for a SecureString' : undefined,
    }),
    admit: admitParameter,
    outputs: (inputs, id, { region }, old) => ({
      arn: `arn:aws:ssm:${region}:${ACCOUNT}:parameter${id.startsWith('/') ? '' : '/'}${id}`,
      version: Number(old?.outputs.version ?? 0) + 1,
      tier: text(inputs, 'tier') ?? 'Standard',
      dataType: 'text',
    }),
    volatile: ['version'],
  },
  {
    // Commands on machines: done when they are there.
    type: 'aws:ssm/association:Association',
    prefix: 'assoc',
    replaces: ['name', 'documentVersion', 'instanceId'],
    admit: (inputs) => {
      const known = ['AWS-RunShellScript', 'AWS-UpdateSSMAgent', 'AWS-ConfigureAWSPackage'];
      if (known.includes(text(inputs, 'name') ?? '')) return;
      throw new ApiError('InvalidDocument', `Document with name ${text(inputs, 'name')} does not exist`);
    },
    outputs: (_, id, { region }) => ({
      arn: `arn:aws:ssm:${region}:${ACCOUNT}:association/${id}`,
      associationId: id,
      documentVersion: '$DEFAULT',
    }),
  },
  {
    type: 'aws:cloudwatch/logGroup:LogGroup',
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix'],
    validate: ({ retentionInDays: days }) => ({
      retentionInDays:
        typeof days === 'number' && !RETENTION.includes(days) ? `is ${days}, not one of ${RETENTION}` : undefined,
    }),
    outputs: (_, id, { region }) => ({ arn: `arn:aws:logs:${region}:${ACCOUNT}:log-group:${id}` }),
  },
  {
    type: ZONE,
    id: (_, { cloud }) => `Z${cloud.newId('zone').slice(5).toUpperCase()}`,
    replaces: ['name', 'delegationSetId'],
    outputs: (_, id) => ({ arn: `arn:aws:route53:::hostedzone/${id}`, zoneId: id, nameServers: [] }),
    blockers: [{ type: RECORD, path: 'zoneId' }],
    inUse: 'HostedZoneNotEmpty',
  },
  {
    type: RECORD,
    untagged: true,
    id: (inputs) => `${text(inputs, 'zoneId')}_${text(inputs, 'name')}_${text(inputs, 'type')}`,
    replaces: ['zoneId', 'name', 'type', 'setIdentifier'],
    references: [{ path: 'zoneId', type: ZONE, code: 'NoSuchHostedZone' }],
    outputs: (inputs) => ({ fqdn: text(inputs, 'name')! }),
  },
];

/** What holds the state of stacks in AWS, as a CloudFormation template: Pulumi cannot make the place of its own state. Pure. */

/** Versions that Pulumi has overwritten; kept to go back to. */
const OLD_VERSIONS_DAYS = 365;

/** Both outlive the CloudFormation stack: without them nothing that Pulumi has made could be found or read. */
const KEPT = { DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' } as const;

export const stateBucket = (account: string, region: string) => `flannel-state-${account}-${region}`;
export const STATE_ALIAS = 'alias/flannel-state';
export const STATE_STACK = 'flannel-state';

/** A versioned bucket by TLS alone, and the key for it and for secrets. Pulumi locks stacks in the bucket by itself. */
export function stateTemplate(account: string, region: string) {
  const bucketArn = { 'Fn::GetAtt': ['Bucket', 'Arn'] };
  return {
    AWSTemplateFormatVersion: '2010-09-09',
    Description: 'State of Pulumi stacks of flannel: a bucket, and the key of their secrets',
    Resources: {
      Key: {
        Type: 'AWS::KMS::Key',
        ...KEPT,
        Properties: {
          Description: 'Secrets in the state of Pulumi stacks of flannel',
          EnableKeyRotation: true,
          KeyPolicy: {
            Version: '2012-10-17',
            Statement: [
              { Sid: 'Account', Effect: 'Allow', Principal: { AWS: account }, Action: 'kms:*', Resource: '*' },
            ],
          },
        },
      },
      Alias: {
        Type: 'AWS::KMS::Alias',
        ...KEPT,
        Properties: { AliasName: STATE_ALIAS, TargetKeyId: { Ref: 'Key' } },
      },
      Bucket: {
        Type: 'AWS::S3::Bucket',
        ...KEPT,
        Properties: {
          BucketName: stateBucket(account, region),
          VersioningConfiguration: { Status: 'Enabled' },
          OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
          PublicAccessBlockConfiguration: {
            BlockPublicAcls: true,
            BlockPublicPolicy: true,
            IgnorePublicAcls: true,
            RestrictPublicBuckets: true,
          },
          BucketEncryption: {
            ServerSideEncryptionConfiguration: [
              {
                BucketKeyEnabled: true,
                ServerSideEncryptionByDefault: {
                  SSEAlgorithm: 'aws:kms',
                  KMSMasterKeyID: { 'Fn::GetAtt': ['Key', 'Arn'] },
                },
              },
            ],
          },
          LifecycleConfiguration: {
            Rules: [
              {
                Id: 'old-versions',
                Status: 'Enabled',
                NoncurrentVersionExpiration: { NoncurrentDays: OLD_VERSIONS_DAYS },
                AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
              },
            ],
          },
        },
      },
      OnlyByTls: {
        Type: 'AWS::S3::BucketPolicy',
        ...KEPT,
        Properties: {
          Bucket: { Ref: 'Bucket' },
          PolicyDocument: {
            Version: '2012-10-17',
            Statement: [
              {
                Sid: 'OnlyByTls',
                Effect: 'Deny',
                Principal: '*',
                Action: 's3:*',
                Resource: [bucketArn, { 'Fn::Join': ['', [bucketArn, '/*']] }],
                Condition: { Bool: { 'aws:SecureTransport': 'false' } },
              },
            ],
          },
        },
      },
    },
  } as const;
}

/** What the commands of this project, and Pulumi's, read. */
export function stateEnvironment(account: string, region: string): Readonly<Record<string, string>> {
  return {
    PULUMI_BACKEND_URL: `s3://${stateBucket(account, region)}?region=${region}`,
    FLANNEL_SECRETS_PROVIDER: `awskms://${STATE_ALIAS}?region=${region}`,
  };
}

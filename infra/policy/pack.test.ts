import type { ResourceValidationArgs, ResourceValidationPolicy, StackValidationPolicy } from '@pulumi/policy';
import { POLICIES, toPulumi } from './pack.ts';

const BUCKET = { type: 'aws:s3/bucket:Bucket', urn: 'urn:bucket', props: {} };

describe('toPulumi()', () => {
  const pack = toPulumi(POLICIES);
  const validate = (name: string, args: Partial<ResourceValidationArgs>): string[] => {
    const said: string[] = [];
    const policy = pack.find((each) => each.name === name) as ResourceValidationPolicy;
    (policy.validateResource as (args: ResourceValidationArgs, report: (message: string) => void) => void)(
      { urn: 'urn:pulumi:prod::flannel::aws:ec2/vpc:Vpc::vpc', opts: { protect: false }, props: {}, ...args } as never,
      (message) => said.push(message),
    );
    return said;
  };

  test('takes the stack from the URN, and tags from the provider as well', () => {
    const provider = { props: { defaultTags: '{"tags":{"flannel:stack":"flannel/prod"}}' } } as never;
    expect(validate('tagged-resources', { type: 'aws:ec2/vpc:Vpc', provider })).toEqual([]);
    expect(validate('tagged-resources', { type: 'aws:ec2/vpc:Vpc' })).toHaveLength(1);
    expect(validate('protected-data', { type: 'aws:kms/key:Key' })).toHaveLength(1);
  });

  test('leaves types alone of which a policy says nothing', () => {
    expect(validate('imds-v2', { type: 'aws:ec2/vpc:Vpc' })).toEqual([]);
  });

  test('waits with what a preview does not know', () => {
    class UnknownValueError extends Error {}
    const props = {
      get tags() {
        throw new UnknownValueError();
      },
    };
    expect(validate('tagged-resources', { type: 'aws:ec2/vpc:Vpc', props })).toEqual([]);
  });

  test("finds a bucket's guard by what its property was made from", () => {
    const policy = pack.find(({ name }) => name === 'versioned-buckets') as StackValidationPolicy;
    const bucket = { ...BUCKET, propertyDependencies: {} };
    const versioning = {
      type: 'aws:s3/bucketVersioning:BucketVersioning',
      urn: 'urn:versioning',
      props: { versioningConfiguration: { status: 'Enabled' } },
      propertyDependencies: { bucket: [bucket] },
    };
    const said: (string | undefined)[] = [];
    const report = (_: string, urn?: string) => said.push(urn);
    const run = (resources: object[]) => policy.validateStack({ resources } as never, report as never);
    run([bucket, versioning]);
    expect(said).toEqual([]);
    run([bucket]);
    expect(said).toEqual([BUCKET.urn]);
  });
});

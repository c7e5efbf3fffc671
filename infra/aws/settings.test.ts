import { type CloudSettings, parseSettings } from '../settings.ts';
import { instanceArchitecture } from './settings.ts';

const VALUES: Record<string, string> = {
  environment: 'aws',
  nodes: '3',
  podsPerNode: '2',
  etcdMembers: '1',
  vpcCidr: '10.64.0.0/19',
  podCidr: '10.244.0.0/16',
  subnetLength: '24',
  backend: '{"Type":"udp"}',
  artifact: 'dist',
  mtu: '9001',
  region: 'eu-central-1',
  zones: '["eu-central-1a"]',
};

function settings(changes: Record<string, string | undefined> = {}): CloudSettings {
  const values = { ...VALUES, ...changes };
  return parseSettings('dev', { get: (key) => values[key], keys: Object.keys(values) }) as CloudSettings;
}

function problems(changes: Record<string, string | undefined>): string[] {
  try {
    settings(changes);
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  throw new Error('Nothing was wrong');
}

describe('readAwsSettings()', () => {
  test('takes the cheap choice where nothing is said', () => {
    const { aws, environment } = settings();
    const { subnets, ...plain } = aws;
    expect(environment).toBe('aws');
    expect(plain).toEqual({
      region: 'eu-central-1',
      nat: 'one',
      vpcEndpoints: false,
      flowLogs: false,
      architecture: 'amd64',
      instanceType: 't3.small',
      etcdInstanceType: 't3.small',
      nodeMode: 'group',
      ttlHours: 0,
      data: { protect: false, retainData: false, forceDestroy: false },
      etcdArtifact: 'dist/etcd',
    });
    expect(subnets.subnets).toHaveLength(3);
  });

  test('takes what is said', () => {
    const { aws } = settings({ architecture: 'arm64', imageId: 'ami-0123456789abcdef0', nat: 'zone', protect: 'true' });
    expect(aws).toMatchObject({
      architecture: 'arm64',
      instanceType: 't4g.small',
      imageId: 'ami-0123456789abcdef0',
      nat: 'zone',
      data: { protect: true },
    });
  });

  test('does not read the keys of a local stack', () => {
    const read: string[] = [];
    const values: Record<string, string> = { ...VALUES, environment: 'local', region: 'nowhere' };
    const get = (key: string) => {
      read.push(key);
      return values[key];
    };
    parseSettings('dev', { get, keys: [] });
    expect(read).not.toContain('region');
  });

  test.each<[string, Record<string, string | undefined>, RegExp]>([
    ['that there is no region', { region: undefined }, /^region is not set: set a region like eu-central-1$/],
    ['that a region is none', { region: 'Frankfurt' }, /^region is "Frankfurt": set a region/],
    ['that there are no zones', { zones: undefined }, /^zones is not set: set 1 to 3 zones/],
    ['that zones are no list', { zones: 'eu-central-1a' }, /^zones is "eu-central-1a"/],
    [
      'that a zone is of another region',
      { zones: '["us-east-1a"]' },
      /^Zone "us-east-1a" is none of region eu-central-1/,
    ],
    [
      'that there are too many zones',
      { zones: JSON.stringify(['a', 'b', 'c', 'd'].map((z) => `eu-central-1${z}`)) },
      /name 1 to 3/,
    ],
    ['that nat is none of the modes', { nat: 'two' }, /^nat is "two": set one of one, zone, none$/],
    ['that a switch is none', { flowLogs: 'on' }, /^flowLogs is "on": set true or false$/],
    [
      'that an instance type is none',
      { instanceType: 'large' },
      /^instanceType is "large": set an instance type like t3\.small$/,
    ],
    ['that an image is none', { imageId: 'debian' }, /^imageId is "debian": set an image like ami-/],
    [
      'that a type is of another architecture',
      { instanceType: 'm7g.large' },
      /^instanceType m7g\.large is arm64 and architecture is amd64/,
    ],
    ['that nothing leads out', { nat: 'none' }, /^nat is "none" and vpcEndpoints is false/],
    [
      'that a stack cannot expire and be protected',
      { protect: 'true', ttlHours: '4' },
      /^protect is true and ttlHours is 4/,
    ],
    [
      'that a bucket cannot be both',
      { protect: 'true', forceDestroy: 'true' },
      /^protect and forceDestroy are both true/,
    ],
    ['that an MTU is none of AWS', { mtu: '9216' }, /^mtu is 9216: an interface in a VPC takes at most 9001$/],
    [
      'that the VPC has the range of services',
      { vpcCidr: '10.100.0.0/19' },
      /^VPC 10\.100\.0\.0\/19 overlaps 10\.96\.0\.0\/12/,
    ],
    [
      'that the pods have the range of services',
      { podCidr: '10.96.0.0/16' },
      /^Pod CIDR 10\.96\.0\.0\/16 overlaps 10\.96\.0\.0\/12/,
    ],
    ['that the pods have the range of the VPC', { podCidr: '10.64.0.0/16' }, /overlaps VPC CIDR/],
    ['that the VPC is too small', { vpcCidr: '10.64.0.0/24' }, /^VPC 10\.64\.0\.0\/24 cannot be divided/],
    ['that the nodes do not fit', { vpcCidr: '10.64.0.0/23', nodes: '200' }, /room for 123 nodes/],
    [
      'that fixed nodes do not fit',
      { vpcCidr: '10.64.0.0/23', nodes: '112', nodeMode: 'instances' },
      /no address for node-111/,
    ],
  ])('says in one sentence %s', (_, changes, sentence) => {
    const found = problems(changes);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(sentence);
  });

  test('refuses host-gw between zones, with what to use instead', () => {
    const zones = '["eu-central-1a","eu-central-1b"]';
    const sentence =
      /^backend is host-gw and there are 2 zones: nodes of different zones are not on one link.*set zones to one, or backend to \{"Type":"vxlan","DirectRouting":true\}/;
    expect(problems({ zones, backend: '{"Type":"host-gw"}' })).toContainEqual(expect.stringMatching(sentence));
    const others = [{ zones: '["eu-central-1a"]', backend: '{"Type":"host-gw"}' }, { zones }];
    for (const changes of others) {
      expect(problems({ ...changes, nodes: '0' })).not.toContainEqual(expect.stringContaining('on one link'));
    }
  });

  test('tells all mistakes at once', () => {
    expect(problems({ region: 'x', nat: 'y', ttlHours: 'z', protect: 'q' })).toHaveLength(4);
  });
});

describe('instanceArchitecture()', () => {
  test.each([
    ['t4g.small', 'arm64'],
    ['c7gn.xlarge', 'arm64'],
    ['im4gn.large', 'arm64'],
    ['a1.large', 'arm64'],
    ['g5g.xlarge', 'arm64'],
    ['t3.small', 'amd64'],
    ['g4dn.xlarge', 'amd64'],
    ['m7i-flex.large', 'amd64'],
    ['u7i-12tb.224xlarge', 'amd64'],
  ])('of %s is %s', (type, architecture) => {
    expect(instanceArchitecture(type)).toBe(architecture);
  });
});

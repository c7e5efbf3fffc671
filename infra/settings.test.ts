import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { podPool } from '@flannel-ts/flannel/addressing';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { type LocalSettings, parseSettings, SETTING_KEYS } from './settings.ts';

/** The values that Pulumi.yaml gives a stack of which nothing is configured, as pulumi.Config hands them over. */
const PROJECT = readFileSync(join(__dirname, '../Pulumi.yaml'), 'utf8');
const DEFAULTS: Record<string, string> = {
  ...Object.fromEntries(
    [...PROJECT.matchAll(/^ {2}(\w+):\n(?: {4}.*\n)*? {4}default: (.+)$/gm)].map(([, key, value]) => [key, value]),
  ),
  backend: JSON.stringify({ Type: /^ {4}default:\n {6}Type: (\w+)$/m.exec(PROJECT)![1] }),
};

function settings(changes: Record<string, string | undefined> = {}, stack = 'dev') {
  const values = { ...DEFAULTS, ...changes };
  return parseSettings(stack, { get: (key) => values[key], keys: Object.keys(values) });
}

function problems(changes: Record<string, string | undefined>, stack?: string): string[] {
  try {
    settings(changes, stack);
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  throw new Error('Nothing was wrong');
}

describe('parseSettings() with defaults', () => {
  test('takes what Pulumi.yaml says', () => {
    const result = settings();
    expect(result).toMatchObject({
      stack: 'dev',
      environment: 'local',
      nodes: 3,
      podsPerNode: 2,
      etcdMembers: 1,
      mtu: 1500,
    });
    expect(formatPrefix(result.vpc)).toBe('10.64.0.0/19');
    expect(formatPrefix(podPool(result.network).network)).toBe('10.244.0.0/16');
    expect(podPool(result.network).subnetLength).toBe(24);
    expect(result.network.backend).toEqual({ type: 'udp', port: 8285 });
  });
});

describe('parseSettings() says in one sentence', () => {
  test.each<[string, Record<string, string | undefined>, RegExp]>([
    [
      'that pods and machines would share addresses',
      { podCidr: '10.64.0.0/16' },
      /10\.64\.0\.0\/16 overlaps .*10\.64\.0\.0\/19/,
    ],
    [
      'that the VPC is too small',
      { vpcCidr: '10.64.0.0/28' },
      /VPC 10\.64\.0\.0\/28 has room for 0 nodes, 3 are asked for/,
    ],
    [
      'that there are too few subnets',
      { podCidr: '10.244.0.0/22', nodes: '4' },
      /10\.244\.0\.0\/22 has 3 subnets of length 24 for 4 nodes/,
    ],
    [
      'that there is hardly any pod network, without contradicting itself',
      { podCidr: '10.244.0.0/30' },
      /10\.244\.0\.0\/30 has 0 subnets of length 24 for 3 nodes/,
    ],
    ['which backends there are', { backend: '{"Type":"carrier-pigeon"}' }, /carrier-pigeon.*udp/],
    ['which environments there are', { environment: 'gcp' }, /^environment is "gcp": set one of local, aws$/],
    ['that a number is none', { nodes: 'many' }, /^nodes is "many": set a whole number from 1 to 250$/],
    ['that a number is too small', { nodes: '0' }, /^nodes is "0"/],
    ['that a number is not whole', { nodes: '2.5' }, /^nodes is "2.5"/],
    ['that an address range is none', { vpcCidr: '10.64.0.0' }, /^vpcCidr: Invalid IPv4 prefix "10\.64\.0\.0"/],
    ['that an address range has host bits', { vpcCidr: '10.64.0.1/19' }, /^vpcCidr: .*write 10\.64\.0\.0\/19$/],
    ['that the backend is no object', { backend: '"udp"' }, /^backend is "\\"udp\\"": set an object like/],
    ['that the backend is no JSON', { backend: '{Type' }, /^backend is "\{Type"/],
    ['that a value is missing', { mtu: undefined }, /^mtu is not set: set a whole number/],
    ['that an even number of etcd members is none better', { etcdMembers: '2' }, /^etcdMembers is 2: /],
    ['that a node cannot hold the pods', { subnetLength: '30', podsPerNode: '2' }, /for 2 pods on a node/],
    ['that the MTU is too small for the backend', { mtu: '600' }, /MTU 600 leaves 572 bytes/],
  ])('%s', (_, changes, sentence) => {
    const found = problems(changes);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(sentence);
  });

  test.each(['Dev', 'dev_1', '1dev', 'a'.repeat(31), 'dev.1', ''])('that "%s" is no name for a stack', (stack) => {
    expect(problems({}, stack)).toEqual([expect.stringMatching(/^Stack name ".*" cannot be part of a namespace/)]);
  });
});

describe('parseSettings() refuses a setting that nobody reads', () => {
  test.each<[Record<string, string>, string]>([
    [{ nodez: '3' }, 'There is no setting "nodez": did you mean "nodes"?'],
    [{ vpcCIDR: '10.64.0.0/19' }, 'There is no setting "vpcCIDR": did you mean "vpcCidr"?'],
    [{ Backend: '{"Type":"udp"}' }, 'There is no setting "Backend": did you mean "backend"?'],
    [
      { backend: '{"Type":"udp","Prot":8285}' },
      'There is no setting "backend.Prot" for type udp: did you mean "Port"?',
    ],
    [
      { backend: '{"Type":"udp","port":8285}' },
      'There is no setting "backend.port" for type udp: did you mean "Port"?',
    ],
    [
      { backend: '{"Type":"udp","Mode":"ipv6"}' },
      'backend.Mode is "ipv6": machines of a stack have IPv4 addresses only',
    ],
    [{ backend: '{"Type":"alloc"}' }, 'backend is alloc, which carries no packets'],
    [
      { backend: '{"Type":"vxlan","MTU":9000}' },
      "backend.MTU is 9000 and mtu is 1500: packets would be larger than the machines' network carries",
    ],
    [{ backend: '{"Type":"wireguard","PSK":"hunter2"}' }, 'backend.PSK is a secret'],
  ])('%j', (changes, sentence) => {
    expect(problems(changes)[0]).toContain(sentence);
  });

  test('a mode that a stack cannot have is refused once, without advice that no setting can follow', () => {
    expect(problems({ backend: '{"Type":"udp","Mode":"ipv6"}' })).toHaveLength(1);
  });

  test('and shows no pre-shared key', () => {
    expect(problems({ backend: '{"Type":"wireguard","PSK":"hunter2"}' }).join('\n')).not.toContain('hunter2');
  });

  test('and lists what there is where nothing is near', () => {
    expect(problems({ quorum: 'yes' })).toEqual([
      expect.stringMatching(/^There is no setting "quorum": use one of apiPort, architecture, artifact, backend, /),
    ]);
  });

  test('SETTING_KEYS names all that are read, and only those', () => {
    const asked = new Set<string>();
    const aws = { environment: 'aws', region: 'eu-central-1', mtu: '9001', zones: '["eu-central-1a"]' };
    for (const changes of [aws, { kubernetes: 'true' }]) {
      const values: Record<string, string> = { ...DEFAULTS, ...changes };
      const get = (key: string) => {
        asked.add(key);
        return values[key];
      };
      parseSettings('dev', { keys: [], get });
    }
    expect([...asked].sort()).toEqual([...SETTING_KEYS].sort());
  });
});

describe('parseSettings() with kubernetes', () => {
  test('has a network of services', () => {
    const { kubernetes } = settings({ kubernetes: 'true' }) as LocalSettings;
    expect(kubernetes).toMatchObject({ proxyMode: 'nftables', artifact: 'dist/kubernetes', demo: false });
    expect(formatPrefix(kubernetes!.services)).toBe('10.96.0.0/16');
    expect(settings()).not.toHaveProperty('kubernetes');
  });

  test.each<[string, Record<string, string>, string]>([
    ['overlaps the pods', { serviceCidr: '10.244.8.0/24' }, 'serviceCidr 10.244.8.0/24 overlaps podCidr 10.244.0.0/16'],
    ['overlaps the VPC', { serviceCidr: '10.64.0.0/16' }, 'serviceCidr 10.64.0.0/16 overlaps vpcCidr 10.64.0.0/19'],
    ['is too small', { serviceCidr: '10.96.0.0/28' }, 'serviceCidr is 10.96.0.0/28: use a length from /12 to /27'],
    [
      'publishes one port twice',
      { publish: '["80:30080","80:web:80"]' },
      'publish: "80:web:80": 80:30080 takes that port already',
    ],
    [
      'publishes where the API is',
      { publish: '["80:30080"]', apiPort: '80' },
      'apiPort is 80, which publish takes: use another',
    ],
    ['has no such kube-proxy', { proxyMode: 'ipvs' }, 'proxyMode is "ipvs": set one of nftables, iptables'],
  ])('refuses one that %s', (_, changes, message) => {
    expect(problems({ kubernetes: 'true', ...changes })).toEqual([message]);
  });

  test('refuses it in an environment that has none', () => {
    const aws = { environment: 'aws', region: 'eu-central-1', mtu: '9001', zones: '["eu-central-1a"]' };
    expect(problems({ ...aws, kubernetes: 'true' })).toEqual(['kubernetes is true: only the local environment has it']);
  });
});

describe('parseSettings() with several mistakes', () => {
  test('tells all of them', () => {
    expect(problems({ nodes: 'x', mtu: 'y', environment: 'z' }, 'UP')).toHaveLength(4);
    expect(problems({ podCidr: '10.64.0.0/24', nodes: '9000' })).toHaveLength(1);
  });
});

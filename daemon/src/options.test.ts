import { parseOptions } from './options.ts';

const parse = (argv: string[], environment: Record<string, string> = {}) => parseOptions(argv, environment).options;

describe('parseOptions()', () => {
  test('parseOptions() has the defaults of flannel', () => {
    const options = parse([]);
    expect(options).toMatchObject({
      command: 'run',
      etcd: { endpoints: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'], prefix: '/coreos.com/network' },
      subnetFile: '/run/flannel/subnet.env',
      cniConfFile: '',
      renewMarginMinutes: 60,
      ipMasq: false,
      forwardRules: true,
      healthzPort: 0,
      metricsPerPeer: true,
      takeOver: false,
      healthEndpoint: false,
      hostLocalDir: '/var/lib/cni/networks',
      rulesResyncSeconds: 5,
      engine: {},
    });
    expect(options.etcd).not.toHaveProperty('keyFile');
  });

  test.each([
    [['-ip-masq', '-etcd-prefix', '/x/y']],
    [['--ip-masq', '--etcd-prefix=/x/y']],
    [['-ip-masq=true', '--etcd-prefix', '/x//y/']],
  ])('parseOptions() takes one or two dashes, values apart or after = (%j)', (argv) => {
    expect(parse(argv)).toMatchObject({ ipMasq: true, etcd: { prefix: '/x/y' } });
  });

  test('parseOptions() does not read the next word as the value of a boolean', () => {
    expect(parse(['-ip-masq', 'release'])).toMatchObject({ ipMasq: true, command: 'release' });
    expect(parse(['-ip-masq=F']).ipMasq).toBe(false);
    expect(parse(['-ip-blackhole-route']).blackholeRoute).toBe(true);
  });

  test('parseOptions() masquerades with fully random source ports unless that is disabled', () => {
    expect(parse(['-ip-masq']).ipMasqFullyRandom).toBe(true);
    expect(parse(['-ip-masq', '-ip-masq-fully-random-disable']).ipMasqFullyRandom).toBe(false);
  });

  test('parseOptions() collects repeated -iface in order', () => {
    expect(parse(['-iface=eth1', '-iface', '10.0.0.1']).interface.names).toEqual(['eth1', '10.0.0.1']);
  });

  test('parseOptions() accepts -iface-can-reach of either family', () => {
    expect(parse(['-iface-can-reach=10.0.0.1']).interface.canReach).toBe(0x0a000001);
    expect(parse(['-iface-can-reach=::2']).interface.canReach).toBe(2n);
  });

  test('parseOptions() prefers the command line to the environment', () => {
    const environment = { FLANNELD_ETCD_PREFIX: '/env', FLANNELD_SUBNET_FILE: '/env/subnet.env', FLANNELD_IP_MASQ: '' };
    expect(parse(['-etcd-prefix=/flag'], environment)).toMatchObject({
      etcd: { prefix: '/flag' },
      subnetFile: '/env/subnet.env',
      ipMasq: false,
    });
  });

  test('parseOptions() distinguishes a setting of the engine that was given from one that was not', () => {
    expect(parse(['-engine-offload', '-engine-busy-poll=0']).engine).toEqual({ offload: true, busyPollUs: 0 });
    expect(parse([], { FLANNELD_ENGINE: 'fast' }).engine).toEqual({ engine: 'fast' });
  });

  test('parseOptions() passes over a bad environment value with a warning', () => {
    const result = parseOptions([], { FLANNELD_HEALTHZ_PORT: 'no' });
    expect(result.options.healthzPort).toBe(0);
    expect(result.warnings[0]).toContain('FLANNELD_HEALTHZ_PORT');
  });

  test.each([
    [['-no-such-flag'], 'Unknown flag -no-such-flag'],
    [['--__proto__=1'], 'Unknown flag'],
    [['---x'], 'Bad flag syntax'],
    [['-toString=1'], 'Unknown flag'],
    [['-subnet-file'], 'needs a value'],
    [['-healthz-port=x'], 'whole number'],
    [['-healthz-port=70000'], 'from 0 to 65535'],
    [['-ip-masq=maybe'], 'write true or false'],
    [['-subnet-lease-renew-margin=1440'], 'from 1 to 1439'],
    [['-public-ip=1.2.3'], 'IPv4 address'],
    [['-public-ipv6=10.0.0.1'], 'IPv6 address'],
    [['-public-ipv6=fe80::1'], 'link-local'],
    [['-iface-can-reach=eth0'], 'write an IPv4 or IPv6 address'],
    [['-iface-regex=('], 'regular expression'],
    [['-etcd-endpoints='], 'No etcd endpoint'],
    [['-etcd-endpoints=10.0.0.1:2379/v2'], 'write it like'],
    [['-iface-regex=(?i:eth)'], 'Invalid regular expression "(?i:eth)" for flag -iface-regex: (?i: in the middle'],
    [['-anti-spoofing=maybe'], 'use one of auto, on, off'],
    [['-etcd-keyfile=/k'], 'both'],
    [['-kube-subnet-mgr'], 'set NODE_NAME'],
    [['-kube-subnet-mgr', '-kube-annotation-prefix', 'Flannel'], 'write a domain name in lower case'],
    [['-engine=slow'], 'use one of auto, ebpf, fast, reference'],
    [['-engine-busy-poll=10001'], 'must be from 0 to 10000'],
    [['-engine-source-ports=0'], 'must be from 1 to 16'],
    [['frobnicate'], 'Unknown command'],
    [['release', 'more'], 'Unexpected argument "more": write "flanneld release"'],
    [['config'], 'Incomplete command: write "flanneld config check FILE"'],
    [['config', 'chekc', 'x'], 'Incomplete command'],
    [['config', 'check'], 'FILE is missing'],
  ])('parseOptions() refuses %j', (argv, message) => {
    expect(() => parse(argv)).toThrow(message);
    expect(() => parse(argv)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('parseOptions() answers --version and --help before anything else is checked', () => {
    expect(parse(['--version', '-kube-subnet-mgr']).command).toBe('version');
    expect(parse(['-h']).command).toBe('help');
  });

  test('parseOptions() allows a certificate authority without a client certificate', () => {
    expect(parse(['-etcd-cafile=/ca.pem', '-etcd-endpoints=https://[::1]:2379/']).etcd).toMatchObject({
      caFile: '/ca.pem',
      endpoints: ['https://[::1]:2379'],
    });
  });

  test('parseOptions() drops quotes that a shell would have dropped, and says so', () => {
    const environment = {
      FLANNELD_ETCD_ENDPOINTS: '"http://10.0.0.1:2379"',
      FLANNELD_IP_MASQ: "'true'",
      FLANNELD_ETCD_PASSWORD: '"secret"',
    };
    const { options, warnings } = parseOptions(['-iface="eth1"'], environment);
    expect(options).toMatchObject({
      ipMasq: true,
      interface: { names: ['eth1'] },
      etcd: { endpoints: ['http://10.0.0.1:2379'], password: '"secret"' },
    });
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toBe('The quotes around the value of flag -iface are not part of it: using eth1');
  });

  test('parseOptions() says what it added to an endpoint', () => {
    const { options, warnings } = parseOptions(['-etcd-endpoints=10.0.0.1, "10.0.0.2:4001"'], {});
    expect(options.etcd.endpoints).toEqual(['http://10.0.0.1:2379', 'http://10.0.0.2:4001']);
    expect(warnings).toContain('Using http://10.0.0.1:2379 for the etcd endpoint 10.0.0.1');
  });

  test.each([
    [[], false],
    [['-ip-masq'], true],
    [['-ip-masq', '-anti-spoofing=off'], false],
    [['-anti-spoofing=on'], true],
  ])('parseOptions() with %j has anti-spoofing %s', (argv, expected) => {
    expect(parse(argv).antiSpoofing).toBe(expected);
  });

  test('parseOptions() has the flags of a command for that command only', () => {
    expect(parse(['status', '-json', '-wait', '-timeout=5', '-subnet-file=/run/a.env'])).toMatchObject({
      command: 'status',
      status: { json: true, waitMs: 5000, isChosen: true },
    });
    expect(parse(['status']).status).toEqual({ json: false, waitMs: undefined, isChosen: false });
    expect(() => parse(['-json'])).toThrow('Flag -json is for "flanneld status"');
    expect(() => parse(['status', '-timeout=0'])).toThrow('must be from 1 to 86400');
  });
});

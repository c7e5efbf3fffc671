import fc from 'fast-check';
import { CniError } from './errors.ts';
import {
  formatVersionInfo,
  parseCniArgs,
  readConfig,
  readEnvironment,
  readRequest,
  requireVersion,
  SUPPORTED_VERSIONS,
  versionAtLeast,
} from './protocol.ts';

const ENV = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin:/usr/lib/cni',
};
const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value), 'utf8');

function thrown(run: () => unknown): CniError {
  try {
    run();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error('Nothing was thrown');
}

describe('readEnvironment()', () => {
  test('reads all variables of an ADD', () => {
    expect(readEnvironment({ ...ENV, CNI_ARGS: 'A=B', CNI_NETNS_OVERRIDE: 'True' })).toEqual({
      command: 'ADD',
      containerId: 'c1',
      netns: '/run/netns/x',
      ifName: 'eth0',
      args: 'A=B',
      path: ['/opt/cni/bin', '/usr/lib/cni'],
      mayUseOwnNetns: true,
    });
  });

  test('VERSION needs nothing else (#2)', () => {
    const env = { CNI_COMMAND: 'VERSION', CNI_NETNS: 'dummy', CNI_IFNAME: 'a/b:dummy', CNI_PATH: 'dummy' };
    expect(readEnvironment(env).command).toBe('VERSION');
  });

  test.each(['FOO', 'add'])('refuses the command %s with code 4 and its name (#4)', (command) => {
    expect(thrown(() => readEnvironment({ ...ENV, CNI_COMMAND: command }))).toMatchObject({
      code: 4,
      message: `unknown CNI_COMMAND: ${command}`,
    });
  });

  test('names all missing variables in the order of skel (#5)', () => {
    expect(thrown(() => readEnvironment({ CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c' }))).toMatchObject({
      code: 4,
      message: 'required env variables [CNI_NETNS,CNI_IFNAME,CNI_PATH] missing',
    });
    expect(thrown(() => readEnvironment({})).message).toBe('required env variables [CNI_COMMAND] missing');
  });

  test('DEL does without a namespace, GC and STATUS without a container', () => {
    expect(readEnvironment({ ...ENV, CNI_COMMAND: 'DEL', CNI_NETNS: '' }).netns).toBe('');
    expect(readEnvironment({ CNI_COMMAND: 'GC', CNI_PATH: '/x' }).command).toBe('GC');
    expect(readEnvironment({ CNI_COMMAND: 'STATUS', CNI_PATH: '/x' }).command).toBe('STATUS');
  });

  test('reports a malformed value before missing ones', () => {
    const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: '../x' };
    expect(thrown(() => readEnvironment(env))).toMatchObject({
      code: 4,
      message: 'invalid characters in containerID',
      details: '../x',
    });
  });

  test.each(['../x', '.x', 'a b', 'a/b', 'a\n', '-a', 'ä', 'a:b'])('refuses containerID %j (#6)', (id) => {
    expect(thrown(() => readEnvironment({ ...ENV, CNI_CONTAINERID: id })).code).toBe(4);
  });

  test.each(['a', 'x'.repeat(200), 'A.b-c_d', '0'])('accepts containerID %j (#6)', (id) => {
    expect(readEnvironment({ ...ENV, CNI_CONTAINERID: id }).containerId).toBe(id);
  });

  test.each([
    ['0123456789abcdef', 'interface name is too long'],
    ['ööööööööa', 'interface name is too long'],
    ['.', 'interface name is . or ..'],
    ['..', 'interface name is . or ..'],
    ['a/b', 'interface name contains / or : or whitespace characters'],
    ['a:b', 'interface name contains / or : or whitespace characters'],
    ['a b', 'interface name contains / or : or whitespace characters'],
    ['a\u00a0b', 'interface name contains / or : or whitespace characters'],
    ['a\u2003b', 'interface name contains / or : or whitespace characters'],
  ])('refuses the interface name %j (#7)', (name, message) => {
    expect(thrown(() => readEnvironment({ ...ENV, CNI_IFNAME: name }))).toMatchObject({ code: 4, message });
  });

  test.each(['0123456789abcde', 'eth0.100', 'a%b', "a'b;c"])('accepts the interface name %j (#7)', (name) => {
    expect(readEnvironment({ ...ENV, CNI_IFNAME: name }).ifName).toBe(name);
  });
});

describe('readConfig()', () => {
  test.each([
    ['nothing', ''],
    ['half an object', '{'],
    ['a list', '[]'],
    ['a number', '7'],
    ['a megabyte of brackets', '['.repeat(1 << 20)],
    ['a megabyte of letters', 'x'.repeat(1 << 20)],
    ['a byte order mark', '\ufeff{"name":"n"}'],
    ['a name that is no string', '{"name":7}'],
  ])('refuses %s with code 6 (#8)', (_what, text) => {
    expect(thrown(() => readConfig(bytes(text))).code).toBe(6);
  });

  test('refuses invalid UTF-8 with code 6 (#8)', () => {
    expect(thrown(() => readConfig(Uint8Array.of(0xff, 0xfe))).code).toBe(6);
    expect(thrown(() => readConfig(Buffer.from('{"name":"a\xff"}', 'latin1'))).code).toBe(6);
  });

  test.each([
    ['null', 'missing network name'],
    ['{}', 'missing network name'],
    ['{"name":""}', 'missing network name'],
    ['{"name":null}', 'missing network name'],
    ['{"name":"a/b"}', 'invalid characters found in network name'],
    ['{"name":"-a"}', 'invalid characters found in network name'],
    ['{"name":".."}', 'invalid characters found in network name'],
  ])('refuses %s with code 7 (#9)', (text, message) => {
    expect(thrown(() => readConfig(bytes(text)))).toMatchObject({ code: 7, message });
  });

  test('reads keys in any case, the last one wins (#15)', () => {
    expect(readConfig(bytes('{"Name":"a","NAME":"b"}')).networkName).toBe('b');
    expect(readConfig(bytes('{"NAME":"b","nAme":null}')).networkName).toBe('b');
  });

  test('throws nothing but CniError, whatever comes in (#8)', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(bytes)), (input) => {
        try {
          readConfig(input);
        } catch (error) {
          expect(error).toBeInstanceOf(CniError);
        }
      }),
    );
  });
});

describe('requireVersion()', () => {
  test.each(SUPPORTED_VERSIONS)('accepts %s for ADD', (version) => {
    expect(requireVersion('ADD', version)).toBe(version);
  });

  test.each(['9.9.9', '1.1', '1.0.1', '0.3', 'x'])('refuses %s for ADD with code 1 (#10)', (version) => {
    expect(thrown(() => requireVersion('ADD', version))).toMatchObject({
      code: 1,
      message: 'incompatible CNI versions',
      details: `config is "${version}", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]`,
    });
  });

  test.each([
    ['CHECK', '0.3.1'],
    ['GC', '1.0.0'],
    ['STATUS', '1.0.0'],
  ] as const)('refuses %s in %s with code 1 (#12)', (command, version) => {
    expect(thrown(() => requireVersion(command, version))).toMatchObject({
      code: 1,
      message: `config version does not allow ${command}`,
    });
  });

  test('refuses CHECK in a version that cannot be compared with code 6', () => {
    expect(thrown(() => requireVersion('CHECK', 'abc')).code).toBe(6);
  });
});

describe('readRequest()', () => {
  const invocation = readEnvironment(ENV);

  test('reads a missing version as 0.1.0 (#11)', () => {
    expect(readRequest(invocation, bytes({ name: 'n' })).version).toBe('0.1.0');
    expect(readRequest(invocation, bytes({ name: 'n', cniVersion: '' })).version).toBe('0.1.0');
  });

  test('refuses a version that is a number with code 6 (#10)', () => {
    expect(thrown(() => readRequest(invocation, bytes({ name: 'n', cniVersion: 1.0 }))).code).toBe(6);
  });

  test('looks at the name before the version', () => {
    expect(thrown(() => readRequest(invocation, bytes({ cniVersion: '9.9.9' }))).code).toBe(7);
  });

  test('accepts what containerd and podman send (#16)', () => {
    const conf = {
      name: 'n',
      cniVersion: '1.0.0',
      capabilities: { portMappings: true },
      runtimeConfig: { 'io.kubernetes.cri.pod-annotations': null },
      prevResult: { dns: {} },
    };
    expect(readRequest(invocation, bytes(conf)).networkName).toBe('n');
  });
});

test('versionAtLeast() compares numbers, not text', () => {
  expect(versionAtLeast('0.10.0', '0.4.0')).toBe(true);
  expect(versionAtLeast('0.3.1', '0.4.0')).toBe(false);
  expect(versionAtLeast('1.1.0', '1.1.0')).toBe(true);
});

test('formatVersionInfo() prints one line with exactly the supported versions (#1)', () => {
  expect(formatVersionInfo()).toBe(
    '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
  );
});

describe('parseCniArgs()', () => {
  const known = ['IP', 'MAC'];

  test('ignores unknown keys when asked to (#36)', () => {
    const args = parseCniArgs('K8S_POD_NAMESPACE=a;IgnoreUnknown=1;IP=10.0.0.2', known);
    expect(args.get('IP')).toBe('10.0.0.2');
  });

  test.each([
    ['A=B', 'ARGS: unknown args ["A=B"]'],
    ['A=B;IgnoreUnknown=0', 'ARGS: unknown args ["A=B"]'],
    ['A=B=C', 'ARGS: invalid pair "A=B=C"'],
    [';', 'ARGS: invalid pair ""'],
    ['IP=1.2.3.4;', 'ARGS: invalid pair ""'],
    ['IgnoreUnknown=maybe', 'ARGS: error parsing value of pair "IgnoreUnknown=maybe"'],
  ])('refuses %j as upstream does (#36)', (text, message) => {
    expect(thrown(() => parseCniArgs(text, known)).message).toBe(message);
  });

  test('accepts an empty value and an empty text', () => {
    expect(parseCniArgs('IP=', known).get('IP')).toBe('');
    expect(parseCniArgs('', known).size).toBe(0);
  });
});

/** The same requests to our plugin and to Debian's bridge and host-local: code, message and shape of the answers. */
import { rmSync } from 'node:fs';
import { addresses, CniNode, compilePlugin, type Outcome, type Program, routes } from './support/cni-plugin.ts';

const BRIDGE = ['/usr/lib/cni/bridge'];
const VERSIONS = ['0.2.0', '0.3.1', '0.4.0', '1.0.0'];

describe('compared with Debian’s bridge and host-local', () => {
  let program: Program;
  let ours: CniNode;
  let theirs: CniNode;
  beforeAll(() => {
    program = compilePlugin();
    ours = new CniNode(program);
    theirs = new CniNode(program);
    const ranges = [[{ subnet: '10.244.1.0/24' }]];
    const ipam = { type: 'host-local', dataDir: theirs.file('networks'), ranges, routes: [{ dst: '10.244.0.0/16' }] };
    theirs.conf = {
      ...{ name: 'cbr0', cniVersion: '1.0.0', type: 'bridge', bridge: 'cni0', isGateway: true, mtu: 1450, ipam },
      ...{ hairpinMode: true, isDefaultGateway: true },
    };
  });
  afterAll(() => {
    ours.destroy();
    theirs.destroy();
    rmSync(program.directory, { recursive: true, force: true });
  });

  const env = (changes: Record<string, string>) => ({ env: changes });
  const errorOf = ({ code, json }: Outcome) => [code, json?.code, json?.msg];

  test.each<[string, string, object]>([
    ['a bad container ID', 'ADD', env({ CNI_CONTAINERID: '../x' })],
    ['missing variables', 'ADD', env({ CNI_NETNS: '', CNI_PATH: '' })],
    ['a long interface name', 'ADD', env({ CNI_IFNAME: '0123456789abcdef' })],
    ['an interface name with a slash', 'ADD', env({ CNI_IFNAME: 'a/b' })],
    ['an unknown version', 'ADD', { conf: { cniVersion: '9.9.9' } }],
    ['a version that is almost one', 'ADD', { conf: { cniVersion: '1.0.1' } }],
    ['no name', 'ADD', { conf: { name: '' } }],
    ['a bad name', 'ADD', { conf: { name: 'a/b' } }],
    ['an old version', 'CHECK', { conf: { cniVersion: '0.3.1' } }],
    ['an unknown command', 'FOO', {}],
  ])('%s is the same error', (_what, command, call) => {
    const pod = 'x';
    expect(errorOf(ours.run(command, { pod, ...call }))).toEqual(
      errorOf(theirs.run(command, { pod, ...call, program: BRIDGE })),
    );
  });

  test.each(VERSIONS)('a pod in %s gets the same, and the answer looks the same', (cniVersion) => {
    const conf = { cniVersion };
    const [a, b] = [ours.addPod(), theirs.addPod()];
    const [mine, yours] = [ours.attach({ pod: a, conf }), theirs.attach({ pod: b, conf, program: BRIDGE })];
    const comparable = (result: object, pod: string): unknown => {
      const text = JSON.stringify(result)
        .replaceAll(/"mac":"[^"]*"/g, '"mac":"M"')
        .replaceAll(/veth[0-9a-f]+/g, 'veth')
        .replaceAll(pod, 'POD');
      // Debian's is older than 1.1.0: it knows no `mtu` and writes an empty `dns`.
      const parsed = JSON.parse(text, (key, value) => (key === 'mtu' ? undefined : value));
      return { dns: {}, ...parsed };
    };
    expect(comparable(mine, a)).toEqual(comparable(yours, b));
    expect(addresses(a, 'eth0')).toEqual(addresses(b, 'eth0'));
    expect(routes(a)).toEqual(routes(b));
    expect(ours.reserved()).toEqual(theirs.reserved());
    expect(ours.read('networks', 'cbr0', 'last_reserved_ip.0')).toBe(
      theirs.read('networks', 'cbr0', 'last_reserved_ip.0'),
    );
  });
});

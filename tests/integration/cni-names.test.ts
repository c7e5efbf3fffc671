/** The executable under the names of the CNI project's plugins, beside Debian's plugins of these names. */
import { linkSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import {
  addresses,
  CniNode,
  type Conf,
  compilePlugin,
  DEBIAN_PLUGINS,
  inside,
  link,
  links,
  type Program,
  pings,
  routes,
  sh,
} from './support/cni-plugin.ts';

jest.setTimeout(60_000);

const NAMES = ['bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'] as const;
type Name = (typeof NAMES)[number];

let program: Program;
let bin: string;
let ours: CniNode;
let debian: CniNode;

beforeAll(() => {
  program = compilePlugin();
  bin = path.join(program.directory, 'bin');
  sh('mkdir', bin);
  // Both kinds of links, as installers make them.
  linkSync(program.command[0]!, path.join(bin, 'flannel'));
  for (const [at, name] of NAMES.entries()) {
    if (at % 2 === 0) linkSync(program.command[0]!, path.join(bin, name));
    else symlinkSync('flannel', path.join(bin, name));
  }
});
afterAll(() => rmSync(program.directory, { recursive: true, force: true }));

beforeEach(() => {
  ours = new CniNode(program);
  debian = new CniNode(program);
});
afterEach(() => {
  ours.destroy();
  debian.destroy();
});

const both = () =>
  [
    [ours, bin],
    [debian, DEBIAN_PLUGINS],
  ] as const;

/** What runs on a node, and with which configuration: everything of flannel's is left out. */
function call(node: CniNode, folder: string, name: Name, pod: string, conf: Conf) {
  const cleared = { subnetFile: undefined, dataDir: undefined, delegate: undefined };
  const ipam = conf.ipam && { ...(conf.ipam as object), dataDir: node.file('networks') };
  return {
    pod,
    program: [path.join(folder, name)],
    env: { CNI_PATH: folder },
    conf: { ...cleared, type: name, ...conf, ipam },
  };
}

/** Without what is drawn or hashed: MAC addresses, names of host ends, namespaces. */
function stripped(result: unknown): unknown {
  return JSON.parse(
    JSON.stringify(result)
      .replace(/"mac":"[0-9a-f:]+"/g, '"mac":"M"')
      .replace(/"(veth|bwp)[0-9a-f]+"/g, '"$1"')
      .replace(/"sandbox":"[^"]+"/g, '"sandbox":"S"')
      .replace(/,"mtu":\d+/g, '')
      .replace(/"mtu":\d+,/g, '')
      .replace(/,"dns":\{\}/g, '')
      // Debian's loopback leaves it empty.
      .replace(/"version":"[46]?",/g, ''),
  );
}

const RANGES = { type: 'host-local', ranges: [[{ subnet: '10.22.0.0/24' }], [{ subnet: 'fd00:22::/64' }]] };
const BRIDGE: Conf = {
  bridge: 'br0',
  isGateway: true,
  isDefaultGateway: true,
  hairpinMode: true,
  mtu: 1400,
  ipam: { ...RANGES, routes: [{ dst: '10.99.0.0/16' }] },
};

test.each(NAMES)('%s tells its versions, its name, and what it is', (name) => {
  const outcome = ours.run('VERSION', { pod: 'x', program: [path.join(bin, name)], netns: 'dummy' });
  expect(outcome.json.supportedVersions).toContain('1.1.0');
  const about = ours.run('', { pod: 'x', program: [path.join(bin, name)] });
  expect(about.stderr).toContain(`CNI plugin ${name} `);
});

describe('bridge with host-local', () => {
  test.each(['0.3.1', '0.4.0', '1.0.0'])('gives what Debian’s give, in version %s', (cniVersion) => {
    const seen = both().map(([node, folder]) => {
      const pod = node.addPod();
      const request = call(node, folder, 'bridge', pod, { ...BRIDGE, cniVersion });
      const result = node.attach(request);
      const state = {
        result: stripped(result),
        addresses: addresses(pod, 'eth0'),
        routes: [...routes(pod), ...routes(pod, '-6')],
        mtu: link(pod, 'eth0')!.mtu,
        bridge: addresses(node.host, 'br0'),
        store: node.reserved(),
        gateway: pings(pod, '10.22.0.1'),
      };
      const chained = { ...request, conf: { ...request.conf, prevResult: result } };
      // Debian's finds fault with what it has made itself.
      if (node === ours && cniVersion !== '0.3.1') expect(node.run('CHECK', chained)).toMatchObject({ code: 0 });
      const ends = [1, 2].map(() => node.del(chained).code);
      return { ...state, ends, left: node.remains() };
    });
    expect(seen[0]!.ends).toEqual([0, 0]);
    expect(seen[0]).toEqual(seen[1]);
  });

  test('each takes over what the other has made', () => {
    for (const [made, folder, other] of [
      [ours, bin, DEBIAN_PLUGINS],
      [debian, DEBIAN_PLUGINS, bin],
    ] as const) {
      const pod = made.addPod();
      const result = made.attach(call(made, folder, 'bridge', pod, BRIDGE));
      const chained = call(made, other, 'bridge', pod, { ...BRIDGE, prevResult: result });
      if (other === bin) expect(made.run('CHECK', chained)).toMatchObject({ code: 0, stdout: '' });
      expect(made.del(chained)).toMatchObject({ code: 0, stdout: '' });
      expect(made.remains()).toMatchObject({ ports: 0, reserved: [] });
    }
  });

  test('a pod without IPAM is a port, up or left to itself', () => {
    const seen = both().map(([node, folder]) => {
      const pod = node.addPod();
      const result = node.attach(call(node, folder, 'bridge', pod, { bridge: 'br0' }));
      return { result: stripped(result), up: link(pod, 'eth0')!.flags.includes('UP') };
    });
    expect(seen[0]).toEqual(seen[1]);
    const pod = ours.addPod();
    const request = call(ours, bin, 'bridge', pod, { bridge: 'br0', disableContainerInterface: true });
    const prevResult = ours.attach(request);
    expect(link(pod, 'eth0')!.flags).not.toContain('UP');
    expect(ours.run('CHECK', { ...request, conf: { ...request.conf, prevResult } })).toMatchObject({
      code: 0,
      stdout: '',
    });
  });

  test.each(['iptables', 'nftables'])(
    'masquerades with ipMasqBackend %s, and stops with DEL and with GC',
    (backend) => {
      const conf = { ...BRIDGE, ipMasq: true, ipMasqBackend: backend, cniVersion: '1.1.0' };
      const [first, second] = [ours.addPod(), ours.addPod()];
      for (const pod of [first, second]) ours.attach(call(ours, bin, 'bridge', pod, conf));
      const masqueraded = () =>
        inside(ours.host, 'nft', 'list', 'table', 'inet', 'flannel_cni').split('goto').length - 1;
      expect(masqueraded()).toBe(4);
      expect(ours.del(call(ours, bin, 'bridge', first, conf)).code).toBe(0);
      expect(masqueraded()).toBe(2);
      const gc = call(ours, bin, 'bridge', second, { ...conf, 'cni.dev/valid-attachments': [] });
      expect(ours.run('GC', gc)).toMatchObject({ code: 0, stdout: '' });
      expect(masqueraded()).toBe(0);
      expect(ours.reserved()).toEqual([]);
    },
  );

  test('#53 with macspoofchk a pod speaks only with its own MAC address', () => {
    const conf = { ...BRIDGE, macspoofchk: true };
    const [pod, other] = [ours.addPod(), ours.addPod()];
    const prevResult = ours.attach(call(ours, bin, 'bridge', pod, conf));
    const target = ours.attach(call(ours, bin, 'bridge', other, BRIDGE)).ips[0].address.split('/')[0];
    const request = call(ours, bin, 'bridge', pod, { ...conf, prevResult });
    expect(pings(pod, target)).toBe(true);
    expect(ours.run('CHECK', request)).toMatchObject({ code: 0 });
    inside(pod, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:66');
    expect(pings(pod, target)).toBe(false);
    inside(pod, 'ip', 'link', 'set', 'eth0', 'address', prevResult.interfaces[2].mac);
    expect(pings(pod, target)).toBe(true);
    inside(
      ours.host,
      'nft',
      'delete',
      'element',
      'bridge',
      'flannel_cni_macs',
      'guarded',
      `{ ${prevResult.interfaces[1].name} }`,
    );
    expect(ours.run('CHECK', request).json).toMatchObject({ code: 103, msg: expect.stringContaining('MAC') });
    expect(ours.del(request).code).toBe(0);
    expect(inside(ours.host, 'nft', 'list', 'ruleset')).not.toContain('flannel_cni_macs');
  });

  test('VLANs are refused in a sentence where the kernel has none', () => {
    const pod = ours.addPod();
    const outcome = ours.add(call(ours, bin, 'bridge', pod, { ...BRIDGE, vlan: 100 }));
    // Kernels that have them: tests/kernel.
    if (outcome.code === 0) return;
    expect(outcome.json.msg).toMatch(/VLAN/);
    expect(`${outcome.json.msg} ${outcome.json.details}`).toContain('CONFIG_BRIDGE_VLAN_FILTERING');
    expect(ours.remains()).toMatchObject({ ports: 0, reserved: [] });
  });
});

describe('host-local', () => {
  const conf = { ipam: { ...RANGES, routes: [{ dst: '0.0.0.0/0', gw: '10.22.0.9' }] } };

  test.each(['0.2.0', '0.3.1', '1.0.0'])('gives what Debian’s gives, in version %s', (cniVersion) => {
    const seen = both().map(([node, folder]) => {
      const requests = ['a', 'b'].map((id) => ({
        ...call(node, folder, 'host-local', node.addPod(), { ...conf, cniVersion }),
        id,
      }));
      const results = requests.map((request) => stripped(node.attach(request)));
      const again = node.add(requests[0]!).json.msg;
      const requested = node.attach({
        ...requests[0]!,
        id: 'c',
        env: { ...requests[0]!.env, CNI_ARGS: 'IP=10.22.0.77' },
      });
      const files = sh('sh', '-c', `cd ${node.file('networks', 'cbr0')} && head -c 99 10.22.0.2 last_reserved_ip.*`);
      node.del(requests[0]!);
      const after = stripped(node.attach({ ...requests[0]!, id: 'd' }));
      const ends = ['a', 'b', 'c', 'd', 'none'].map((id) => node.del({ ...requests[0]!, id }).code);
      return { results, again, requested: stripped(requested), files, after, ends, left: node.reserved() };
    });
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]!.left).toEqual([]);
  });

  test('CHECK finds an address that is gone; GC releases what is not valid', () => {
    const request = { ...call(ours, bin, 'host-local', ours.addPod(), { ...conf, cniVersion: '1.1.0' }), id: 'a' };
    ours.attach(request);
    ours.attach({ ...request, id: 'b' });
    expect(ours.run('CHECK', request).code).toBe(0);
    expect(ours.run('CHECK', { ...request, id: 'x' }).json.msg).toContain(
      'Failed to find address added by container x',
    );
    const valid = [{ containerID: 'b', ifname: 'eth0' }];
    const gc = { ...request, conf: { ...request.conf, 'cni.dev/valid-attachments': valid } };
    expect(ours.run('GC', gc).code).toBe(0);
    expect(ours.run('CHECK', request).code).toBe(1);
    expect(ours.run('CHECK', { ...request, id: 'b' }).code).toBe(0);
    expect(ours.run('STATUS', gc)).toMatchObject({ code: 0, stdout: '' });
  });

  test('gives addresses to another plugin’s interfaces: ptp of Debian’s', () => {
    const mixed = path.join(ours.directory, 'bin');
    sh('mkdir', mixed);
    symlinkSync(path.join(bin, 'host-local'), path.join(mixed, 'host-local'));
    symlinkSync(path.join(DEBIAN_PLUGINS, 'ptp'), path.join(mixed, 'ptp'));
    const pod = ours.addPod();
    const request = {
      ...call(ours, mixed, 'host-local', pod, { ipam: RANGES }),
      program: [path.join(mixed, 'ptp')],
    };
    expect(ours.attach(request).ips).toHaveLength(2);
    expect(pings(pod, '10.22.0.1')).toBe(true);
    expect(ours.del(request).code).toBe(0);
    expect(ours.reserved()).toEqual([]);
  });
});

test('loopback gives what Debian’s gives', () => {
  for (const cniVersion of ['0.3.1', '1.0.0']) {
    const seen = both().map(([node, folder]) => {
      const pod = node.addPod();
      inside(pod, 'ip', 'link', 'set', 'lo', 'down');
      const request = { ...call(node, folder, 'loopback', pod, { cniVersion }), ifName: 'lo' };
      const result = node.attach(request);
      const chained = { ...request, conf: { ...request.conf, prevResult: result } };
      const up = pings(pod, '127.0.0.1');
      const check = cniVersion === '1.0.0' ? node.run('CHECK', chained).code : 0;
      const passed = stripped(node.attach(chained));
      const ends = [node.del(chained).code, node.del({ ...chained, netns: '' }).code];
      return { result: stripped(result), up, check, passed, ends, after: link(pod, 'lo')!.flags.includes('UP') };
    });
    expect(seen[0]).toEqual(seen[1]);
  }
});

describe('chained names', () => {
  const runtimeConfig = {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 800_000, ingressBurst: 160_000, egressRate: 1_600_000, egressBurst: 320_000 },
  };

  test.each(['portmap', 'bandwidth'] as const)(
    '%s gives what Debian’s gives, behind a bridge of the same kind',
    (name) => {
      const seen = both().map(([node, folder]) => {
        const pod = node.addPod();
        const prevResult = node.attach(call(node, folder, 'bridge', pod, BRIDGE));
        const request = call(node, folder, name, pod, { prevResult, runtimeConfig });
        const result = node.attach(request);
        const chained = { ...request, conf: { ...request.conf, prevResult: result } };
        if (node === ours) expect(node.run('CHECK', chained)).toMatchObject({ code: 0, stdout: '' });
        const without = stripped(node.attach({ ...request, conf: { ...request.conf, runtimeConfig: {} } }));
        const ends = [1, 2].map(() => node.del(chained).code);
        const chainless = node.add({ ...request, conf: { ...request.conf, prevResult: undefined } }).json.msg;
        const ifbs = links(node.host).filter(({ ifname }) => ifname.startsWith('bwp')).length;
        return { result: stripped(result), without, ends, chainless, ifbs };
      });
      expect(seen[0]).toEqual(seen[1]);
      expect(seen[0]).toMatchObject({ ends: [0, 0], ifbs: 0 });
    },
  );

  test('portmap and bandwidth work behind Debian’s ptp, and GC takes what is left of them', () => {
    const pod = ours.addPod();
    const ptp = {
      ...call(ours, DEBIAN_PLUGINS, 'host-local', pod, { ipam: RANGES }),
      program: [`${DEBIAN_PLUGINS}/ptp`],
    };
    let prevResult = ours.attach(ptp);
    for (const name of ['portmap', 'bandwidth'] as const) {
      const request = call(ours, bin, name, pod, { prevResult, runtimeConfig });
      prevResult = ours.attach(request);
      expect(ours.run('CHECK', { ...request, conf: { ...request.conf, prevResult } })).toMatchObject({ code: 0 });
    }
    expect(inside(ours.host, 'nft', 'list', 'ruleset')).toContain('tcp . 8080');
    const gc = (name: Name, valid: object[]) =>
      ours.run('GC', call(ours, bin, name, pod, { cniVersion: '1.1.0', 'cni.dev/valid-attachments': valid }));
    const left = () => [
      inside(ours.host, 'nft', 'list', 'ruleset').includes('tcp . 8080'),
      links(ours.host).some(({ ifname }) => ifname.startsWith('bwp')),
    ];
    for (const name of ['portmap', 'bandwidth'] as const) {
      expect(gc(name, [{ containerID: pod, ifname: 'eth0' }])).toMatchObject({ code: 0 });
    }
    expect(left()).toEqual([true, true]);
    for (const name of ['portmap', 'bandwidth'] as const) expect(gc(name, [])).toMatchObject({ code: 0, stdout: '' });
    expect(left()).toEqual([false, false]);
  });

  test('upstream’s portmap, bandwidth, tuning, firewall and sbr work after flannel, and undo', () => {
    const pod = ours.addPod();
    const others = ['portmap', 'bandwidth', 'tuning', 'firewall', 'sbr'];
    let prevResult = ours.attach({ pod });
    const conf = (type: string) => ({
      type,
      runtimeConfig,
      backend: 'iptables',
      sysctl: { 'net.core.somaxconn': '500' },
    });
    for (const type of others) {
      prevResult = ours.attach({ pod, program: [`${DEBIAN_PLUGINS}/${type}`], conf: { ...conf(type), prevResult } });
    }
    expect(ours.run('CHECK', { pod, conf: { prevResult } })).toMatchObject({ code: 0, stdout: '' });
    // sbr: by the route of its own source.
    expect(pings(pod, '10.244.1.1', '-I', prevResult.ips[0].address.split('/')[0])).toBe(true);
    for (const type of others.reverse()) {
      const program = [`${DEBIAN_PLUGINS}/${type}`];
      expect(ours.del({ pod, program, conf: { ...conf(type), prevResult } })).toMatchObject({ code: 0 });
    }
    expect(ours.del({ pod, conf: { prevResult } }).code).toBe(0);
    expect(ours.remains()).toMatchObject({ ports: 0, reserved: [], scratch: [] });
  });
});

test('a name that was removed from the folder is no longer delegated to', () => {
  const folder = path.join(ours.directory, 'few');
  sh('mkdir', folder);
  symlinkSync(path.join(bin, 'bridge'), path.join(folder, 'bridge'));
  const pod = ours.addPod();
  // Our bridge needs no host-local beside it.
  const request = call(ours, folder, 'bridge', pod, BRIDGE);
  ours.attach(request);
  expect(ours.del(request).code).toBe(0);
  unlinkSync(path.join(folder, 'bridge'));
});

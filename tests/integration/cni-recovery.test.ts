/** What must not be lost, or stay behind, when something around the plugin goes wrong. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostInterfaceName } from '@flannel-ts/cni/names';
import {
  type CniNode,
  compilePlugin,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  pings,
  sh,
} from './support/cni-plugin.ts';

describe('the CNI plugin recovers', () => {
  let node: CniNode;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
  });

  /** Another plugin, on a CNI_PATH of its own. Each call is noted with the container it is for. */
  const addPlugin = (name: string, onAdd: string, versions = '"1.0.0"'): Record<string, string> => {
    mkdirSync(node.file('bin'), { recursive: true });
    const script = `#!/bin/sh
cat > '${node.file('input')}'
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS" >> '${node.file('calls')}'
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":[${versions}]}';;
  DEL) [ -n "$CNI_CONTAINERID" ] || { echo '{"code":4,"msg":"no container"}'; exit 1; };;
  ADD) ${onAdd};;
esac
`;
    writeFileSync(node.file('bin', name), script);
    chmodSync(node.file('bin', name), 0o755);
    return { CNI_PATH: `/etc/passwd:/nonexistent:${node.file('bin')}` };
  };
  /** The kernel takes the interfaces of a namespace away some time after its name. */
  const endPod = (pod: string): void => {
    sh('ip', 'netns', 'del', pod);
    while (link(node.host, hostInterfaceName(pod, 'eth0')) !== undefined) sh('sleep', '0.01');
  };
  const calls = (): string[] =>
    existsSync(node.file('calls'))
      ? readFileSync(node.file('calls'), 'utf8')
          .split('\n')
          .map((line) => line.trim())
          .filter(Boolean)
      : [];
  const result = 'echo \'{"cniVersion":"1.1.0","ips":[{"address":"10.244.1.9/24"}]}\'';
  const masqueraded = (): string => inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni');
  const v11 = { cniVersion: '1.1.0' };

  test.each([
    ['an IPAM plugin', (type: string) => ({ ...v11, ipam: { type } })],
    ['a delegate', (type: string) => ({ ...v11, delegate: { type } })],
  ])('#49 GC, and DEL after it, of %s of another name', (_what, confOf) => {
    const env = addPlugin('other', result, '"1.0.0","1.1.0"');
    const conf = confOf('other');
    const [kept, dead] = [node.addPod(), node.addPod()];
    for (const pod of [kept, dead]) node.attach({ pod, conf, env });
    rmSync(node.file('calls'));
    const valid = [{ containerID: kept, ifname: 'eth0' }];
    // As runtimes call it: without a container.
    const gc = { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', ...env };
    const outcome = node.run('GC', { pod: 'x', conf: { ...conf, 'cni.dev/valid-attachments': valid }, env: gc });
    expect([outcome.code, outcome.stdout]).toEqual([0, '']);
    expect(calls()).toEqual([`DEL ${dead} eth0`, 'VERSION', 'GC']);
    expect(JSON.parse(node.read('input'))).toMatchObject({ 'cni.dev/valid-attachments': valid });
    expect(node.scratch()).toEqual([`${kept}:eth0`]);
    expect(node.del({ pod: dead, conf, env }).code).toBe(0);
    expect(node.del({ pod: kept, conf, env }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#49 GC leaves the address that flanneld has reserved for itself', () => {
    node.put('flanneld-health-endpoint\r\neth0', 'networks', 'cbr0', '10.244.1.254');
    expect(node.run('GC', { pod: 'x', conf: { ...v11, 'cni.dev/valid-attachments': [] } }).code).toBe(0);
    expect(node.reserved()).toEqual(['10.244.1.254']);
  });

  test('#49 GC is not sent to a plugin that does not know it', () => {
    const env = addPlugin('other', result);
    const conf = { ...v11, ipam: { type: 'other' } };
    node.attach({ pod: node.addPod(), conf, env });
    rmSync(node.file('calls'));
    expect(node.run('GC', { pod: 'x', conf: { ...conf, 'cni.dev/valid-attachments': [] }, env }).code).toBe(0);
    expect(calls().map((line) => line.split(' ')[0])).toEqual(['DEL', 'VERSION']);
  });

  test('#49 GC removes masquerading of pods that are gone, whoever they were', () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const [kept, dead] = [node.addPod(), node.addPod()];
    for (const pod of [kept, dead]) node.attach({ pod, conf: v11 });
    rmSync(node.file('flannel', `${dead}:eth0`));
    rmSync(node.file('networks', 'cbr0', '10.244.1.3'));
    endPod(dead);
    const valid = [{ containerID: kept, ifname: 'eth0' }];
    expect(node.run('GC', { pod: 'x', conf: { ...v11, 'cni.dev/valid-attachments': valid } }).code).toBe(0);
    expect(masqueraded()).toContain('10.244.1.2 comment');
    expect(masqueraded()).not.toContain('10.244.1.3 ');
  });

  test('#21 masquerading changes hands with the address: what a dead owner’s late DEL removes is not the new pod’s', () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const [dead, pod] = [node.addPod(), node.addPod()];
    const ask = { env: { CNI_ARGS: 'IP=10.244.1.7' } };
    node.attach({ pod: dead, ...ask });
    // As when an operator frees addresses by hand, the usual advice: the entry for masquerading stays.
    rmSync(node.file('networks', 'cbr0', '10.244.1.7'));
    endPod(dead);
    node.attach({ pod, ...ask });
    expect(masqueraded()).toContain(`10.244.1.7 comment "${hostInterfaceName(pod, 'eth0')}"`);
    expect(node.del({ pod: dead, ...ask }).code).toBe(0);
    expect(node.del({ pod: dead, ...ask, netns: '' }).code).toBe(0);
    expect(masqueraded()).toContain(`10.244.1.7 comment "${hostInterfaceName(pod, 'eth0')}"`);
    expect(node.reserved()).toEqual(['10.244.1.7']);
    expect(node.del({ pod, ...ask }).code).toBe(0);
    expect(masqueraded()).not.toContain('10.244.1.7 ');
  });

  test('#45 DEL removes masquerading though subnet.env says otherwise by then, and the file of the ADD is lost', () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const pod = node.addPod();
    node.attach({ pod });
    node.writeEnv({ FLANNEL_IPMASQ: 'true' });
    rmSync(node.file('flannel'), { recursive: true });
    endPod(pod);
    expect(node.del({ pod, netns: '' }).code).toBe(0);
    expect(masqueraded()).not.toContain('10.244.1.2 ');
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#32 an IPAM plugin that fails its ADD gets a DEL', () => {
    const env = addPlugin('fails', 'echo \'{"code":11,"msg":"not now"}\'; exit 1');
    const pod = node.addPod();
    const { code, json } = node.add({ pod, conf: { ipam: { type: 'fails' } }, env });
    expect([code, json.code, json.msg]).toEqual([1, 11, 'not now']);
    expect(calls().map((line) => line.split(' ')[0])).toEqual(['ADD', 'DEL']);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#32 what a failed roll-back leaves is found by the next DEL', () => {
    const env = addPlugin('fickle', 'exit 1');
    const script = readFileSync(node.file('bin', 'fickle'), 'utf8');
    writeFileSync(node.file('bin', 'fickle'), script.replace('DEL) ', `DEL) [ -e '${node.file('well')}' ] || exit 1;`));
    const pod = node.addPod();
    const call = { pod, conf: { ipam: { type: 'fickle' } }, env };
    expect(node.add(call).json.details).toContain('not taken back');
    expect(node.scratch()).toEqual([`${pod}:eth0`]);
    writeFileSync(node.file('well'), '');
    expect(node.del({ ...call, conf: {} }).code).toBe(0);
    expect(calls().map((line) => line.split(' ')[0])).toEqual(['ADD', 'DEL', 'DEL']);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#23 a delegate gets numbers as the runtime wrote them', () => {
    const env = addPlugin('other', result);
    const text = '{"type":"other","runtimeConfig":{"bandwidth":{"ingressBurst":18446744073709551615}}}';
    const conf = { name: 'cbr0', type: 'flannel', cniVersion: '1.0.0', delegate: {}, ipam: {} };
    const input = JSON.stringify({ ...node.conf, ...conf }).replace('"delegate":{}', `"delegate":${text}`);
    const pod = node.addPod();
    const argv = [`--net=/run/netns/${node.host}`, ...node.program.command];
    const run = spawnSync('nsenter', argv, {
      input,
      encoding: 'utf8',
      env: {
        ...{ PATH: process.env.PATH, CNI_COMMAND: 'ADD', CNI_CONTAINERID: pod, CNI_IFNAME: 'eth0' },
        ...{ CNI_NETNS: `/run/netns/${pod}`, ...env },
      },
    });
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(node.read('input')).toContain('"ingressBurst":18446744073709551615');
    expect(node.read('flannel', `${pod}:eth0`)).toContain('"ingressBurst":18446744073709551615');
  });

  test.each([
    ['delegate', { delegate: { type: 'flannel' } }],
    ['ipam', { ipam: { type: 'flannel' } }],
  ])('#23 as its own %s the plugin is refused instead of running for ever', (_what, conf) => {
    const { code, json } = node.add({ pod: node.addPod(), conf });
    expect([code, json.code]).toEqual([1, 7]);
    expect(node.remains()).toEqual(NOTHING);
  });

  const hostile = {
    ...{ BUN_BE_BUN: '1', BUN_OPTIONS: '--version', BUN_INSPECT: '127.0.0.1:1', BUN_CONFIG_VERBOSE_FETCH: '1' },
    ...{ BUN_JSC_dumpOptions: '2', JSC_useJIT: 'x', BUN_RUNTIME_TRANSPILER_CACHE_PATH: '/x', DO_NOT_TRACK: '1' },
    ...{ NODE_OPTIONS: '--require=/x', NODE_DEBUG: 'fs', NODE_EXTRA_CA_CERTS: '/x', FORCE_COLOR: '1', LC_ALL: 'xx' },
  };

  test.each(Object.entries(hostile))('#14 with %s=%s in the environment the answer is a result', (name, value) => {
    const pod = node.addPod();
    const { code, stdout, stderr, json } = node.add({ pod, env: { [name]: value } });
    expect([code, stderr, json?.ips?.[0]?.address]).toEqual([0, '', '10.244.1.2/24']);
    expect(JSON.parse(stdout)).toEqual(json);
    expect(node.del({ pod, env: { [name]: value } })).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#14 other plugins get the environment as the runtime gave it', () => {
    const env = addPlugin('other', `env > '${node.file('env')}'; ${result}`);
    const pod = node.addPod();
    node.attach({ pod, conf: { ipam: { type: 'other' } }, env: { ...env, ...hostile, TRACEPARENT: '00-a', _x: '1' } });
    const seen = node.read('env').split('\n');
    const given = Object.entries({ ...hostile, TRACEPARENT: '00-a', CNI_COMMAND: 'ADD', CNI_IFNAME: 'eth0' });
    expect(given.filter(([name, value]) => !seen.includes(`${name}=${value}`))).toEqual([]);
    expect(seen.filter((line) => line.charCodeAt(0) < 0x40)).toEqual([]);
  });

  test.each([
    ['closed', '>&-'],
    ['a full disk', '>/dev/full'],
    ['a pipe that nobody reads', '| true'],
  ])('#14 an ADD whose answer goes to stdout that is %s is taken back', (_what, redirect) => {
    const pod = node.addPod();
    const plugin = `'${node.program.command[0]}'`;
    // The reader has gone by the time the plugin has its input.
    const script = redirect.startsWith('|') ? `{ sleep 0.2; cat; } | ${plugin} ${redirect}` : `${plugin} ${redirect}`;
    const { code } = node.add({ pod, program: ['bash', '-c', `set -o pipefail; ${script}`] });
    expect(code).not.toBe(0);
    expect(node.remains()).toEqual(NOTHING);
    expect(link(pod, 'eth0')).toBeUndefined();
  });

  test('#25 the pod that is configured is the one whose namespace was opened, though the path leads elsewhere by then', () => {
    const [first, second] = [node.addPod(), node.addPod()];
    const path = `/run/netns/${first}-moving`;
    writeFileSync(path, '');
    sh('mount', '--bind', `/run/netns/${first}`, path);
    try {
      // The IPAM plugin is run between the look at the namespace and its use.
      const env = addPlugin('slow', `umount -l ${path} && mount --bind /run/netns/${second} ${path} && ${result}`);
      node.attach({ pod: first, netns: path, conf: { ipam: { type: 'slow' } }, env });
      expect(link(first, 'eth0')).toBeDefined();
      expect(link(second, 'eth0')).toBeUndefined();
    } finally {
      spawnSync('umount', [path]);
      rmSync(path, { force: true });
    }
  });

  test('#44 a repeated DEL does not read the store', () => {
    const pod = node.addPod();
    node.attach({ pod });
    expect(node.del({ pod }).code).toBe(0);
    for (let i = 2; i < 250; i++) node.put(`other${i}\r\neth0`, 'networks', 'cbr0', `10.244.1.${i}`);
    const reads = (call: string): number => {
      const trace = node.file('trace');
      const program = ['strace', '-f', '-e', 'trace=openat', '-o', trace, ...node.program.command];
      expect(node.run('DEL', { pod: call, netns: '', program }).code).toBe(0);
      return readFileSync(trace, 'utf8')
        .split('\n')
        .filter((line) => line.includes('/networks/cbr0/10.244')).length;
    };
    expect(reads(pod)).toBe(0);
    // What nobody has ever heard of is looked for once.
    expect(reads('unknown')).toBe(248);
    expect(reads('unknown')).toBe(0);
  });

  test('#44 DEL of a container that another plugin has added again since', () => {
    const pod = node.addPod();
    const conf = {
      ...{ type: 'bridge', bridge: 'cni0', isGateway: true },
      ipam: { type: 'host-local', dataDir: node.file('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] },
    };
    node.attach({ pod });
    expect(node.del({ pod }).code).toBe(0);
    const prevResult = node.attach({ pod, conf, program: ['/usr/lib/cni/bridge'] });
    expect(node.del({ pod, conf: { prevResult } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
    expect(link(pod, 'eth0')).toBeUndefined();
  });

  test('#41 the first ADD after a boot frees what containers of before hold, and only that', () => {
    const [dead, alive, pod] = [node.addPod(), node.addPod(), node.addPod()];
    node.attach({ pod: dead });
    node.attach({ pod: alive });
    node.put('debian\r\neth0', 'networks', 'cbr0', '10.244.1.200');
    endPod(dead);
    node.attach({ pod, ifName: 'net0' });
    expect(node.reserved()).toContain('10.244.1.2');
    for (const name of readdirSync(node.directory)) if (name.startsWith('cni-boot-')) rmSync(node.file(name));
    node.attach({ pod });
    expect(node.reserved()).toEqual(['10.244.1.200', '10.244.1.3', '10.244.1.4', '10.244.1.5']);
    expect(node.scratch()).toEqual([`${alive}:eth0`, `${pod}:eth0`, `${pod}:net0`].sort());
    expect(pings(alive, '10.244.1.1')).toBe(true);
    // The runtime's late DEL for the container of before.
    expect(node.del({ pod: dead, netns: '' }).code).toBe(0);
  });

  /** Interfaces, rules and /run are gone; /var/lib is not. */
  const reboot = (pods: readonly string[]): void => {
    for (const netns of [node.host, ...pods]) sh('ip', 'netns', 'del', netns);
    for (const netns of [node.host, ...pods]) sh('ip', 'netns', 'add', netns);
    inside(node.host, 'ip', 'link', 'set', 'lo', 'up');
    const kept = ['networks', 'flannel'];
    for (const name of readdirSync(node.directory))
      if (!kept.includes(name)) rmSync(node.file(name), { recursive: true });
  };

  test.each([
    ['DELs for the old containers come first, before flanneld', true],
    ['ADDs for new ones come first', false],
  ])('#41 after a reboot of a node that was full, every address is given again: %s', (_what, delFirst) => {
    const subnets = {
      ...{ FLANNEL_SUBNET: '10.244.1.1/29', FLANNEL_IPV6_NETWORK: 'fd00:10::/48' },
      ...{ FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/125', FLANNEL_IPMASQ: 'false' },
    };
    node.writeEnv(subnets);
    const pods = Array.from({ length: 5 }, () => node.addPod());
    const callOf = (generation: string, i: number) => {
      const portMappings = [{ hostPort: 8080 + i, containerPort: 80, protocol: 'tcp' }];
      return { pod: pods[i]!, id: `${generation}-${pods[i]}`, conf: { runtimeConfig: { portMappings } } };
    };
    const results = pods.map((_pod, i) => node.attach(callOf('old', i)));
    const full = node.reserved();
    expect(full).toHaveLength(10);
    expect(node.add({ pod: node.addPod() }).json).toMatchObject({ code: 100 });
    reboot(pods);

    // containerd has neither the namespace nor the result any more, CRI-O both by name.
    const delOld = (): void => {
      for (const [i, prevResult] of results.entries()) {
        const { conf, ...call } = callOf('old', i);
        const gone = { ...call, netns: i % 2 === 0 ? '' : '/run/netns/fltest-gone' };
        const outcome = node.del({ ...gone, conf: i % 2 === 0 ? conf : { ...conf, prevResult } });
        expect([outcome.code, outcome.stdout]).toEqual([0, '']);
      }
    };
    if (delFirst) {
      delOld();
      expect(node.remains()).toEqual(NOTHING);
    }
    node.writeEnv(subnets);
    const given = pods.map((_pod, i) => node.attach(callOf('new', i)));
    if (!delFirst) delOld();
    // Of IPv6 there is one more: a subnet's last address is nobody's own.
    const ofIpv4 = (addresses: readonly string[]) => addresses.filter((address) => address.includes('.'));
    expect(ofIpv4(node.reserved())).toEqual(ofIpv4(full));
    expect([node.reserved().length, node.scratch().length]).toEqual([10, 5]);
    for (const [i, prevResult] of given.entries()) {
      const { conf, ...call } = callOf('new', i);
      expect(node.run('CHECK', { ...call, conf: { ...conf, prevResult } })).toMatchObject({ code: 0, stdout: '' });
      for (const { address } of prevResult.ips) expect(pings(node.host, address.split('/')[0], '-w', '30')).toBe(true);
      expect(inside(node.host, 'nft', 'list', 'map', 'inet', 'flannel_cni_ports', 'ports4')).toContain(
        `tcp . ${8080 + i} `,
      );
      expect(node.del({ ...call, conf }).code).toBe(0);
    }
    expect(node.remains()).toEqual(NOTHING);
    expect(inside(node.host, 'nft', 'list', 'ruleset')).not.toContain('comment');
  });

  test.each([
    ['an address without a file of its ADD', (pod: string) => rmSync(node.file('flannel', `${pod}:eth0`))],
    ['a file of an ADD without its address', () => rmSync(node.file('networks', 'cbr0', '10.244.1.2'))],
    ['an address file of zeros', () => node.put('\0'.repeat(70), 'networks', 'cbr0', '10.244.1.2')],
    ['an address file that is empty', () => node.put('', 'networks', 'cbr0', '10.244.1.2')],
    ['a file of zeros of an ADD', (pod: string) => node.put('\0'.repeat(300), 'flannel', `${pod}:eth0`)],
  ])('#41 after a power cut that left %s, DEL leaves nothing and the address is given again', (_what, damage) => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/30' });
    const [pod, next] = [node.addPod(), node.addPod()];
    node.attach({ pod });
    endPod(pod);
    damage(pod);
    expect(node.del({ pod, netns: '' }).code).toBe(0);
    expect(node.attach({ pod: next }).ips[0].address).toBe('10.244.1.2/30');
    expect(node.del({ pod: next }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#50 STATUS of a full node is well, and names a directory in which nothing can be written', () => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/30' });
    node.attach({ pod: node.addPod() });
    const status = (conf: object = {}) => node.run('STATUS', { pod: 'x', conf: { ...v11, ...conf } });
    expect([status().code, status().stdout]).toEqual([0, '']);
    expect(status({ dataDir: '/proc/sys/flannel' }).json).toMatchObject({
      code: 50,
      msg: expect.stringContaining('cannot write in /proc/sys'),
    });
    rmSync(node.file('subnet.env'));
    expect(status().json).toMatchObject({ code: 50, msg: expect.stringContaining('subnet.env') });
  });
});

/** What runtimes ask for beside an interface: ports of the node, limits of bandwidth. Both families. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type CniNode, compilePlugin, eachOnFreshNode, inside, NOTHING, pings, sh } from './support/cni-plugin.ts';

jest.setTimeout(60_000);

const DUAL = {
  FLANNEL_IPV6_NETWORK: 'fd00:10::/48',
  FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64',
};

let node: CniNode;
let outside: string;
const children: ChildProcess[] = [];

eachOnFreshNode(compilePlugin, (fresh) => {
  node = fresh;
  node.writeEnv(DUAL);
  // A neighbour of the node, by a link of both families.
  outside = node.addPod();
  inside(node.host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
  const assign = (netns: string, link: string, ...addresses: string[]) => {
    for (const address of addresses) inside(netns, 'ip', 'address', 'add', address, 'dev', link, ...nodad(address));
    inside(netns, 'ip', 'link', 'set', link, 'up');
  };
  assign(node.host, 'up0', '192.0.2.1/24', '192.0.2.3/24', 'fd01::1/64');
  assign(outside, 'eth0', '192.0.2.2/24', 'fd01::2/64');
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const nodad = (address: string) => (address.includes(':') ? ['nodad'] : []);

/** Answers with its name and with whom it sees, by TCP and by UDP, on both families. */
async function serve(netns: string, name: string, port: number): Promise<void> {
  const script = `
    const say = (address) => ${JSON.stringify(name)} + ' ' + address.replace('::ffff:', '') + '\\n';
    const tcp = require('net').createServer((c) => { c.on('error', () => {}); c.end(say(c.remoteAddress)); });
    const udp = require('dgram').createSocket('udp6');
    udp.on('message', (m, from) => udp.send(say(from.address), from.port, from.address));
    tcp.listen(${port}, '::', () => udp.bind(${port}, '::', () => console.log('up')));`;
  const child = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', script]);
  children.push(child);
  for await (const line of createInterface({ input: child.stdout! })) if (line === 'up') return;
}

/** The answer, or '' where there is none. */
function ask(netns: string, host: string, port: number, protocol: 'tcp' | 'udp' = 'tcp', from = 0): string {
  const script = `
    const [host, port, from] = [${JSON.stringify(host)}, ${port}, ${from}];
    const done = (text) => { process.stdout.write(String(text).trim()); process.exit(0); };
    setTimeout(done, 2500, '');
    if (${JSON.stringify(protocol)} === 'tcp') {
      require('net').connect(port, host).on('data', done).on('error', () => done(''));
    } else {
      const socket = require('dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
      socket.on('message', done).on('error', () => {});
      socket.bind(from, () => setInterval(() => socket.send('x', port, host), 200));
    }`;
  return execFileSync('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', script], { encoding: 'utf8' });
}

const mapping = (hostPort: number, containerPort: number, protocol = 'tcp', hostIP?: string) => ({
  hostPort,
  containerPort,
  protocol,
  ...(hostIP !== undefined && { hostIP }),
});
const withPorts = (...portMappings: object[]) => ({ runtimeConfig: { portMappings } });
const ruleset = () => inside(node.host, 'nft', 'list', 'ruleset');

describe('portMappings', () => {
  test('#51 a port is reached from outside, from the node, from 127.0.0.1, from other pods and from the pod itself', async () => {
    const [pod, other] = [node.addPod(), node.addPod()];
    const conf = withPorts(mapping(8080, 80), mapping(8080, 80, 'udp'));
    const result = node.attach({ pod, conf });
    const ip = result.ips[0].address.split('/')[0];
    const otherIp = node.attach({ pod: other }).ips[0].address.split('/')[0];
    await serve(pod, 'pod', 80);
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(ask(outside, '192.0.2.1', 8080, protocol)).toBe('pod 192.0.2.2');
      expect(ask(outside, 'fd01::1', 8080, protocol)).toBe('pod fd01::2');
      expect(ask(node.host, '192.0.2.1', 8080, protocol)).toBe('pod 192.0.2.1');
      expect(ask(node.host, 'fd01::1', 8080, protocol)).toBe('pod fd01::1');
      // The answer must come back by the node, which the pod knows as its gateway.
      expect(ask(node.host, '127.0.0.1', 8080, protocol)).toBe('pod 10.244.1.1');
      expect(ask(pod, '192.0.2.1', 8080, protocol)).toBe('pod 10.244.1.1');
      expect(ask(other, '192.0.2.1', 8080, protocol)).toBe('pod 10.244.1.1');
      expect(ask(other, 'fd01::1', 8080, protocol)).toBe('pod fd00:10:0:1::1');
    }
    // Asked directly, the pod sees who it is.
    expect(ask(other, ip, 80)).toBe(`pod ${otherIp}`);
    expect(ask(outside, '192.0.2.1', 8081)).toBe('');
  });

  test('#51 what passes the node on its way to others is left alone (CVE-2025-67499)', async () => {
    const pod = node.addPod();
    node.attach({ pod, conf: withPorts(mapping(53, 53), mapping(53, 53, 'udp')) });
    inside(outside, 'ip', 'route', 'add', '10.244.1.0/24', 'via', '192.0.2.1');
    await serve(pod, 'pod', 53);
    await serve(outside, 'outside', 53);
    expect(ask(pod, '192.0.2.2', 53)).toMatch(/^outside 10\.244\.1\./);
    expect(ask(pod, '192.0.2.2', 53, 'udp')).toMatch(/^outside 10\.244\.1\./);
    expect(ask(node.host, '192.0.2.2', 53)).toBe('outside 192.0.2.1');
  });

  test('hostIP narrows a mapping to one address or one family', async () => {
    const pod = node.addPod();
    const conf = withPorts(
      mapping(8081, 80, 'tcp', '192.0.2.3'),
      mapping(8082, 80, 'tcp', '0.0.0.0'),
      mapping(8083, 80, 'tcp', '::'),
      mapping(8084, 80, 'tcp', 'fd01::1'),
    );
    node.attach({ pod, conf });
    await serve(pod, 'pod', 80);
    const answers = (...hosts: string[]) =>
      [8081, 8082, 8083, 8084].map((port) => hosts.map((host) => ask(outside, host, port) !== ''));
    expect(answers('192.0.2.1', '192.0.2.3', 'fd01::1')).toEqual([
      [false, true, false],
      [true, true, false],
      [false, false, true],
      [false, false, true],
    ]);
  });

  test('a UDP flow that was there before the pod reaches it, and does not after its end', async () => {
    await serve(node.host, 'node', 9999);
    const pod = node.addPod();
    // Two flows of which the kernel remembers that they go to the node itself.
    expect(ask(outside, '192.0.2.1', 5353, 'udp', 40001)).toBe('');
    expect(ask(outside, 'fd01::1', 5353, 'udp', 40001)).toBe('');
    const conf = withPorts(mapping(5353, 5353, 'udp'));
    node.attach({ pod, conf });
    await serve(pod, 'pod', 5353);
    expect(ask(outside, '192.0.2.1', 5353, 'udp', 40001)).toBe('pod 192.0.2.2');
    expect(ask(outside, 'fd01::1', 5353, 'udp', 40001)).toBe('pod fd01::2');
    expect(node.del({ pod, conf }).code).toBe(0);
    await serve(node.host, 'node', 5353);
    expect(ask(outside, '192.0.2.1', 5353, 'udp', 40001)).toBe('node 192.0.2.2');
  });

  test('the newest pod has the port, and the end of the one before does not take it away', async () => {
    const [old, young] = [node.addPod(), node.addPod()];
    const conf = withPorts(mapping(8080, 80), mapping(9090, 80));
    node.attach({ pod: old, conf });
    node.attach({ pod: young, conf: withPorts(mapping(8080, 80)) });
    await serve(young, 'young', 80);
    expect(ask(outside, '192.0.2.1', 8080)).toBe('young 192.0.2.2');
    expect(node.del({ pod: old, conf }).code).toBe(0);
    expect(ask(outside, '192.0.2.1', 8080)).toBe('young 192.0.2.2');
    expect(ruleset()).not.toContain('9090');
    expect(node.del({ pod: young, conf }).code).toBe(0);
    expect(ruleset()).not.toContain('flannel_cni_ports');
    expect(node.remains()).toEqual(NOTHING);
  });

  test('DEL takes everything back without hints, and twice', () => {
    const pod = node.addPod();
    const conf = withPorts(mapping(8080, 80), mapping(53, 53, 'udp', '192.0.2.1'));
    node.attach({ pod, conf });
    sh('ip', 'netns', 'del', pod);
    sh('ip', 'netns', 'add', pod);
    for (let n = 0; n < 2; n++) expect(node.del({ pod, netns: '' }).code).toBe(0);
    expect(ruleset()).not.toContain('8080');
    expect(ruleset()).not.toContain('flannel_cni_ports');
  });

  test('#48 CHECK finds a mapping that is missing, leads elsewhere, or is not looked up', () => {
    const pod = node.addPod();
    const conf = withPorts(mapping(8080, 80));
    const prevResult = node.attach({ pod, conf });
    const check = () => node.run('CHECK', { pod, conf: { ...conf, prevResult } });
    expect(check()).toMatchObject({ code: 0, stdout: '' });
    const nft = (text: string) => inside(node.host, 'nft', text);
    nft('delete element inet flannel_cni_ports ports4 { tcp . 8080 }');
    expect(check().json).toMatchObject({ code: 103, msg: 'port mapping tcp 8080 to port 80 is missing' });
    nft('add element inet flannel_cni_ports ports4 { tcp . 8080 : 10.244.1.99 . 80 }');
    expect(check().json).toMatchObject({ code: 103 });
    node.del({ pod, conf });
    const again = { pod, conf: { ...conf, prevResult: node.attach({ pod, conf }) } };
    nft('flush chain inet flannel_cni_ports prerouting');
    expect(node.run('CHECK', again).json).toMatchObject({
      code: 103,
      msg: expect.stringContaining('chain prerouting'),
    });
    nft('delete table inet flannel_cni_ports');
    expect(node.run('CHECK', again).json.code).toBe(103);
  });

  test('#49 GC takes the ports of an attachment that is not valid, and leaves the others', () => {
    node.conf = { ...node.conf, cniVersion: '1.1.0' };
    const [gone, stays] = [node.addPod(), node.addPod()];
    node.attach({ pod: gone, conf: withPorts(mapping(8080, 80)) });
    node.attach({ pod: stays, conf: withPorts(mapping(8081, 80)) });
    const valid = [{ containerID: stays, ifname: 'eth0' }];
    expect(node.run('GC', { pod: gone, conf: { 'cni.dev/valid-attachments': valid } }).code).toBe(0);
    expect(ruleset()).not.toContain('8080');
    expect(ruleset()).toContain('8081');
  });

  test('an ADD that fails takes the ports back', () => {
    const pod = node.addPod();
    // The second capability is refused when the first one is in place.
    const conf = { runtimeConfig: { bandwidth: { ingressRate: 8000 }, portMappings: [mapping(8080, 80)] } };
    expect(node.add({ pod, conf }).json).toMatchObject({ code: 7, msg: 'if rate is set, burst must also be set' });
    const full = withPorts(...Array.from({ length: 3 }, (_, n) => mapping(8080 + n, 80)), mapping(70000, 80));
    expect(node.add({ pod, conf: full }).json).toMatchObject({ code: 7, msg: 'Invalid host port number: 70000' });
    expect(ruleset()).not.toContain('8080');
    expect(node.remains()).toEqual(NOTHING);
  });

  test.each([
    [{ hostPort: 0, containerPort: 80 }, 'Invalid host port number: 0'],
    [{ hostPort: 80, containerPort: -1 }, 'Invalid container port number: -1'],
    [{ hostPort: 80, containerPort: 80, protocol: 'icmp' }, 'Invalid protocol of a port mapping: icmp'],
    [{ hostPort: 80, containerPort: 80, hostIP: 'node' }, 'Invalid host IP of a port mapping: node'],
  ])('%j is refused', (entry, msg) => {
    const pod = node.addPod();
    expect(node.add({ pod, conf: withPorts(entry) }).json).toMatchObject({ code: 7, msg });
    expect(node.remains()).toEqual(NOTHING);
  });

  test('a neighbour or a pod cannot reach what listens on 127.0.0.1, nor speak as it (CVE-2020-8558)', async () => {
    const pod = node.addPod();
    node.attach({ pod, conf: withPorts(mapping(8080, 80)) });
    await serve(node.host, 'local', 7777);
    expect(ask(node.host, '127.0.0.1', 7777)).toBe('local 127.0.0.1');
    inside(pod, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
    inside(pod, 'ip', 'route', 'del', 'local', '127.0.0.0/8', 'dev', 'lo', 'table', 'local');
    inside(pod, 'ip', 'route', 'del', 'local', '127.0.0.1', 'dev', 'lo', 'table', 'local');
    inside(pod, 'ip', 'route', 'add', '127.0.0.1', 'via', '10.244.1.1');
    // Counts what comes past the rule.
    inside(node.host, 'nft', 'add table inet fltest');
    inside(node.host, 'nft', 'add chain inet fltest c { type filter hook prerouting priority -299; }');
    inside(node.host, 'nft', 'add rule inet fltest c iifname != "lo" ip daddr 127.0.0.1 tcp dport 7777 counter');
    const passed = () => Number(/packets (\d+)/.exec(inside(node.host, 'nft', 'list table inet fltest'))![1]);
    expect(ask(pod, '127.0.0.1', 7777)).toBe('');
    expect(passed()).toBe(0);
    inside(node.host, 'nft', 'delete', 'table', 'inet', 'flannel_cni_localhost');
    ask(pod, '127.0.0.1', 7777);
    expect(passed()).toBeGreaterThan(0);
  });
});

describe('bandwidth', () => {
  const bandwidth = { ingressRate: 800_000, ingressBurst: 160_000, egressRate: 1_600_000, egressBurst: 320_000 };
  const tc = (...args: string[]) => JSON.parse(inside(node.host, 'tc', '-s', '-j', ...args));

  test('both ways are limited by what tc calls tbf, and nothing is left after DEL', () => {
    const pod = node.addPod();
    const conf = { runtimeConfig: { bandwidth } };
    const result = node.attach({ pod, conf });
    const [, port, , ifb] = result.interfaces;
    expect(result.ips.map((ip: { interface: number }) => ip.interface)).toEqual([2, 2]);
    expect(ifb.name).toMatch(/^bwp/);
    const root = (name: string) => tc('qdisc', 'show', 'dev', name, 'root')[0];
    expect(root(port.name)).toMatchObject({ kind: 'tbf', options: { rate: 100_000 } });
    expect(root(ifb.name)).toMatchObject({ kind: 'tbf', options: { rate: 200_000 } });
    // 40 packets of 1,400 bytes are more than either burst.
    for (const flags of [
      ['-4', '10.244.1.1'],
      ['-6', 'fd00:10:0:1::1'],
    ]) {
      expect(pings(pod, flags[1]!, flags[0]!, '-s', '1300')).toBe(true);
      inside(pod, 'ping', '-f', '-q', '-c', '40', '-s', '1300', flags[0]!, flags[1]!);
    }
    expect(root(ifb.name).bytes).toBeGreaterThan(80 * 1300);
    expect(root(port.name).bytes).toBeGreaterThan(80 * 1300);
    expect(root(port.name).overlimits).toBeGreaterThan(0);
    expect(node.run('CHECK', { pod, conf: { ...conf, prevResult: result } })).toMatchObject({ code: 0, stdout: '' });
    expect(node.del({ pod, conf }).code).toBe(0);
    expect(inside(node.host, 'ip', '-o', 'link')).not.toMatch(/bwp|veth/);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#48 CHECK finds a limit that is gone or another', () => {
    const pod = node.addPod();
    const conf = { runtimeConfig: { bandwidth } };
    const result = node.attach({ pod, conf });
    const check = () => node.run('CHECK', { pod, conf: { ...conf, prevResult: result } }).json;
    const [, port, , ifb] = result.interfaces;
    inside(node.host, 'tc', 'qdisc', 'del', 'dev', port.name, 'root');
    expect(check()).toMatchObject({ code: 103, msg: expect.stringContaining('there is no limit') });
    inside(
      node.host,
      'tc',
      'qdisc',
      'add',
      'dev',
      port.name,
      'root',
      'tbf',
      'rate',
      '1mbit',
      'burst',
      '9k',
      'limit',
      '9k',
    );
    expect(check()).toMatchObject({ code: 103, msg: expect.stringContaining('1000000 bits') });
    inside(node.host, 'ip', 'link', 'del', ifb.name);
    expect(check().code).toBe(103);
  });

  test('what limits a pod whose namespace has gone is taken back by DEL and by GC', () => {
    node.conf = { ...node.conf, cniVersion: '1.1.0' };
    const conf = { runtimeConfig: { bandwidth } };
    const [first, second] = [node.addPod(), node.addPod()];
    for (const pod of [first, second]) node.attach({ pod, conf });
    expect(node.del({ pod: first, netns: '' }).code).toBe(0);
    expect(node.run('GC', { pod: second, conf: { 'cni.dev/valid-attachments': [] } }).code).toBe(0);
    expect(inside(node.host, 'ip', '-o', 'link')).not.toMatch(/bwp|veth/);
  });

  test.each([
    [{ ingressRate: 8000 }, 'if rate is set, burst must also be set'],
    [{ egressBurst: 8000 }, 'if burst is set, rate must also be set'],
    [{ egressRate: -1, egressBurst: 1 }, 'rate and burst must be a positive integer'],
    [{ egressRate: 8000, egressBurst: 2 ** 36 }, 'burst cannot be more than 4GB'],
  ])('%j is refused as upstream does', (limits, msg) => {
    const pod = node.addPod();
    expect(node.add({ pod, conf: { runtimeConfig: { bandwidth: limits } } }).json).toMatchObject({ code: 7, msg });
    expect(node.remains()).toEqual(NOTHING);
  });
});

test('aliases, as a list or as an object, are ignored; mac and ips are heeded', () => {
  for (const aliases of [['web'], { cbr0: ['web'] }]) {
    const pod = node.addPod();
    const conf = { runtimeConfig: { aliases, mac: '02:00:00:00:00:07', ips: ['10.244.1.77'] } };
    const result = node.attach({ pod, conf });
    expect(result.interfaces[2].mac).toBe('02:00:00:00:00:07');
    expect(result.ips[0].address).toBe('10.244.1.77/24');
    expect(node.del({ pod, conf }).code).toBe(0);
  }
});

/** The bridge that was there before, what pods hear of each other, and what they must not believe. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { withNetns } from '@flannel-ts/linux/enter-netns';
import { closeFd } from '@flannel-ts/linux/files';
import { AF_PACKET, SOCK_RAW, sendTo, socket } from '@flannel-ts/linux/socket';
import {
  addresses,
  type CniNode,
  compilePlugin,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  routes,
  sysctl,
} from './support/cni-plugin.ts';

const V6 = { FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' };

describe('the CNI plugin on a bridge', () => {
  let node: CniNode;
  const children: ChildProcess[] = [];
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill();
  });

  const check = (pod: string, prevResult: object, conf: object = {}) => {
    const { code, stdout } = node.run('CHECK', { pod, conf: { ...conf, prevResult } });
    return [code, stdout];
  };
  const addPort = (name: string, mac: string): void => {
    inside(node.host, 'ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}-peer`);
    inside(node.host, 'ip', 'link', 'set', name, 'master', 'cni0', 'up');
  };

  test('#33 a bridge that was there keeps the MAC address that the result names, whatever ports come and go', () => {
    inside(node.host, 'ip', 'link', 'add', 'cni0', 'type', 'bridge');
    addPort('old0', '02:00:00:00:00:01');
    const [first, second] = [node.addPod(), node.addPod()];
    const result = node.attach({ pod: first });
    expect(result.interfaces[0].mac).toBe('02:00:00:00:00:01');
    expect(check(first, result)).toEqual([0, '']);
    addPort('low0', '00:00:00:00:00:01');
    inside(node.host, 'ip', 'link', 'del', 'old0');
    expect(check(first, result)).toEqual([0, '']);
    expect(node.attach({ pod: second }).interfaces[0].mac).toBe('02:00:00:00:00:01');
    expect(link(node.host, 'cni0')?.address).toBe('02:00:00:00:00:01');
  });

  test('#33 the result names the MAC address of a bridge that is no gateway as the port left it', () => {
    const pod = node.addPod();
    const conf = { delegate: { isGateway: false } };
    const result = node.attach({ pod, conf });
    expect(result.interfaces[0].mac).toBe(link(node.host, 'cni0')?.address);
    expect(check(pod, result, conf)).toEqual([0, '']);
  });

  test('#33 a bridge that is down is set up', () => {
    inside(node.host, 'ip', 'link', 'add', 'cni0', 'type', 'bridge');
    const [a, b] = [node.addPod(), node.addPod()];
    for (const pod of [a, b]) node.attach({ pod });
    expect(link(node.host, 'cni0')?.flags).toContain('UP');
    inside(a, 'ping', '-c1', '-W2', '10.244.1.3');
  });

  const neighbour = (netns: string, ip: string): string | undefined =>
    (JSON.parse(inside(netns, 'ip', '-j', 'neigh', 'show', ip)) as { lladdr?: string }[])[0]?.lladdr;
  const eventually = async (look: () => boolean): Promise<void> => {
    for (let i = 0; i < 100 && !look(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  test('#52 neighbours learn at once that an address is at another MAC address, in both families', async () => {
    node.writeEnv(V6);
    const [peer, before, after] = [node.addPod(), node.addPod(), node.addPod()];
    node.attach({ pod: peer });
    const ips = ['10.244.1.9', 'fd00:10:0:1::9'];
    const ask = { runtimeConfig: { ips } };
    node.attach({ pod: before, conf: ask });
    for (const ip of ips) inside(peer, 'ping', '-c1', '-W2', ip);
    const old = ips.map((ip) => neighbour(peer, ip));
    expect(old).not.toContain(undefined);
    node.del({ pod: before, conf: ask });
    const mac = '02:00:00:00:00:99';
    node.attach({ pod: after, conf: { runtimeConfig: { ips, mac } } });
    await eventually(() => ips.every((ip) => neighbour(peer, ip) === mac));
    expect(ips.map((ip) => neighbour(peer, ip))).toEqual([mac, mac]);
    expect(old).not.toContain(mac);
  });

  test('#18 a pod’s link-local address can be used at once', () => {
    node.writeEnv(V6);
    const pod = node.addPod();
    node.attach({ pod });
    expect(inside(pod, 'ip', '-6', 'address', 'show', 'dev', 'eth0', 'tentative')).toBe('');
    expect(inside(pod, 'ip', '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'link')).toContain('fe80');
  });

  test('#18 enabledad looks for another host with the address, and takes the ADD back', () => {
    node.writeEnv(V6);
    const [squatter, pod, well] = [node.addPod(), node.addPod(), node.addPod()];
    node.attach({ pod: squatter });
    inside(squatter, 'ip', 'address', 'add', 'fd00:10:0:1::3/64', 'dev', 'eth0', 'nodad');
    const conf = { delegate: { enabledad: true } };
    const refused = node.add({ pod, conf });
    expect(refused.json).toMatchObject({ code: 11, msg: expect.stringContaining('fd00:10:0:1::3/64') });
    expect(node.remains()).toMatchObject({ ports: 1, scratch: [`${squatter}:eth0`] });
    node.attach({ pod: well, conf });
    expect(addresses(well, 'eth0')).toContain('fd00:10:0:1::4/64');
    expect(sysctl(well, 'ipv6/conf/eth0/accept_dad')).toBe('1');
  });

  test('#24 routes to one destination: the same one twice is one, different ones are all there, advmss is set', () => {
    node.writeEnv(V6);
    const pod = node.addPod();
    const wanted = [
      { dst: '192.0.2.0/24', gw: '10.244.1.1', advmss: 1200, mtu: 1300 },
      { dst: '192.0.2.0/24', gw: '10.244.1.1', advmss: 1200, mtu: 1300 },
      { dst: '192.0.2.0/24', gw: '10.244.1.77' },
      { dst: '2001:db8::/32', gw: 'fd00:10:0:1::1' },
      { dst: '2001:db8::/32', gw: 'fd00:10:0:1::77' },
    ];
    const result = node.attach({ pod, conf: { ipam: { dataDir: node.file('networks'), routes: wanted } } });
    const listed = inside(pod, 'ip', 'route', 'show', '192.0.2.0/24')
      .trim()
      .split('\n')
      .map((line) => line.trim());
    expect(listed).toEqual([
      '192.0.2.0/24 via 10.244.1.1 dev eth0 mtu 1300 advmss 1200',
      '192.0.2.0/24 via 10.244.1.77 dev eth0',
    ]);
    const six = inside(pod, 'ip', '-6', 'route', 'show', '2001:db8::/32');
    expect(six).toContain('via fd00:10:0:1::1 ');
    expect(six).toContain('via fd00:10:0:1::77 ');
    expect(check(pod, result)).toEqual([0, '']);
    expect(node.del({ pod }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  /** RFC 4861, 4.2: a router that lives for half an hour, with the prefix 2001:db8:bad::/64. */
  const advertise = (pod: string): void => {
    const { index, mac, source } = JSON.parse(inside(pod, 'ip', '-j', 'address', 'show', 'dev', 'eth0'))
      .map((entry: { ifindex: number; address: string; addr_info: { local: string; scope: string }[] }) => ({
        index: entry.ifindex,
        mac: entry.address.split(':').map((byte) => Number.parseInt(byte, 16)),
        source: entry.addr_info.find(({ scope }) => scope === 'link')!.local,
      }))
      .at(0);
    const from = bytesOf(source);
    const all = bytesOf('ff02::1');
    const prefix = [3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0, ...bytesOf('2001:db8:bad::')];
    const message = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, ...mac, ...prefix];
    const sum = [...from, ...all, 0, 0, 0, message.length, 0, 0, 0, 58, ...message].reduce(
      (total, byte, i) => total + (i % 2 === 0 ? byte << 8 : byte),
      0,
    );
    const folded = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
    message.splice(2, 2, folded >> 8, folded & 0xff);
    const header = [0x60, 0, 0, 0, 0, message.length, 58, 255, ...from, ...all];
    const frame = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1, ...mac, 0x86, 0xdd, ...header, ...message);
    const fd = withNetns(`/run/netns/${pod}`, () => socket(AF_PACKET, SOCK_RAW, 0));
    const address = new Uint8Array(20);
    new DataView(address.buffer).setUint16(0, AF_PACKET, true);
    new DataView(address.buffer).setInt32(4, index, true);
    sendTo(fd, frame, 0, address);
    closeFd(fd);
  };
  const bytesOf = (ip: string): number[] => {
    const [head, tail = ''] = ip.split('::');
    const groups = (text: string): string[] => text.split(':').filter(Boolean);
    const zeros = Array(8 - groups(head!).length - groups(tail).length).fill('0');
    const all = ip.includes('::') ? [...groups(head!), ...zeros, ...groups(tail)] : ip.split(':');
    return all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
  };
  const defaults = (netns: string): string[] => routes(netns, '-6').filter((route) => route.startsWith('default'));

  test.each([
    ['IPv4 alone', {}],
    ['both families', V6],
  ])('#53 nobody takes a route from a router advertisement of a pod (CVE-2020-10749), with %s', async (_what, env) => {
    node.writeEnv(env);
    const [evil, victim, gullible] = [node.addPod(), node.addPod(), node.addPod()];
    for (const pod of [evil, victim, gullible]) node.attach({ pod, conf: { delegate: {} } });
    inside(gullible, 'sysctl', '-qw', 'net.ipv6.conf.eth0.accept_ra=2');
    // The link-local address of the first pod may still be tentative where IPv6 is nobody's.
    await eventually(() => inside(evil, 'ip', '-6', 'address', 'show', 'dev', 'eth0', 'tentative') === '');
    await eventually(() => {
      advertise(evil);
      return defaults(gullible).length > 0;
    });
    // So it was a good one.
    expect(defaults(gullible)).toHaveLength(1);
    for (const netns of [node.host, victim]) {
      expect(defaults(netns)).toEqual([]);
      expect(inside(netns, 'ip', '-6', 'address', 'show')).not.toContain('2001:db8:bad');
    }
  });

  test('#50 STATUS says why flanneld is not ready, and that it does not run', async () => {
    const status = () => node.start('STATUS', { pod: 'x', conf: { cniVersion: '1.1.0' } }).done;
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/readyz' ? code : 404;
      response.end(code === 200 ? 'ok\n' : 'no peer answers through the overlay\nmore\n');
    });
    let code = 503;
    const listen = () => new Promise<void>((resolve) => server.listen(node.file('subnet.sock'), resolve));
    await listen();
    try {
      expect((await status()).json).toMatchObject({
        code: 51,
        msg: 'flanneld is not ready: no peer answers through the overlay',
      });
      code = 200;
      expect((await status()).code).toBe(0);
    } finally {
      server.close();
    }
    // A daemon that was killed leaves its socket.
    const script = 'require("net").createServer().listen(process.argv[1],()=>process.kill(process.pid,"SIGKILL"))';
    const killed = spawn(process.execPath, ['-e', script, node.file('subnet.sock')]);
    children.push(killed);
    await new Promise((resolve) => killed.once('exit', resolve));
    expect((await status()).json).toMatchObject({ code: 51, msg: 'flanneld does not run' });
    rmSync(node.file('subnet.sock'));
    expect((await status()).code).toBe(0);
  });
});

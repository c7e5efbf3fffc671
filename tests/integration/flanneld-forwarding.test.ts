/** What turning IPv6 forwarding on must not cost: the default route that a router advertises on another interface. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { parseIp } from '@flannel-ts/inet/ip';
import { ipv6ToBytes } from '@flannel-ts/inet/ipv6';
import { closeFd } from '@flannel-ts/linux/files';
import { withNetns } from '@flannel-ts/linux/netns';
import {
  AF_INET6,
  IPPROTO_ICMPV6,
  IPPROTO_IPV6,
  SO_BINDTODEVICE,
  SOCK_RAW,
  SOL_SOCKET,
  sendTo,
  setSocketOption,
  sockaddrIn6,
  socket,
} from '@flannel-ts/linux/socket';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"udp"}}';
const IPV6_MULTICAST_HOPS = 18; // linux/in6.h
const ALL_NODES = parseIp('ff02::1');

let program: string;
let cluster: Cluster;

beforeAll(async () => {
  program = await bundleFlanneld();
  cluster = await Cluster.create(program, 2, { underlay: 'both' });
});
afterAll(async () => {
  await cluster?.destroy();
  rmSync(path.dirname(program), { recursive: true, force: true });
});

/** RFC 4861, 4.2: a router for so many seconds, with nothing else to say. */
function advertise(router: Node, link: string, seconds: number): void {
  const message = new Uint8Array(16);
  message[0] = 134;
  message[4] = 64;
  new DataView(message.buffer).setUint16(6, seconds);
  withNetns(`/run/netns/${router.netns}`, () => {
    const fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    try {
      setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${link}\0`));
      setSocketOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
      sendTo(fd, message, 0, sockaddrIn6(ipv6ToBytes(ALL_NODES), 0));
    } finally {
      closeFd(fd);
    }
  });
}

test('another interface keeps the default route that a router advertises, and goes on to hear of it', async () => {
  const [node, router] = cluster.nodes as [Node, Node];
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  node.ip('link', 'add', 'nic1', 'type', 'veth', 'peer', 'name', 'lan0', 'netns', router.netns);
  node.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=0', 'net.ipv6.conf.nic1.accept_ra=1');
  router.ip('link', 'set', 'lan0', 'up');
  node.ip('link', 'set', 'nic1', 'up');
  const routes = () => node.ip('-6', 'route', 'show', 'default', 'dev', 'nic1');
  const advertised = async (seconds: number, isSo: () => boolean) => {
    await until(() => {
      try {
        advertise(router, 'lan0', seconds);
      } catch {
        // Its link-local address is still checked for duplicates.
      }
      return isSo();
    }, 200);
  };
  await advertised(600, () => routes().includes('proto ra'));

  await node.startReady();
  expect(node.run('cat', '/proc/sys/net/ipv6/conf/all/forwarding')).toBe('1\n');
  expect(node.run('cat', '/proc/sys/net/ipv6/conf/nic1/accept_ra')).toBe('2\n');
  expect(routes()).toContain('proto ra');
  await advertised(9000, () => Number(/expires (\d+)sec/.exec(routes())?.[1]) > 8000);
});

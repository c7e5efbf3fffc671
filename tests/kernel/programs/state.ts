/**
 * Run on an emulated kernel: one pass of the reconciler of a node that is a namespace, `state BACKEND NODE [FAMILY]`. Each call is a
 * process of its own, as after a restart of flanneld.
 */
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parsePort } from '@flannel-ts/inet/port';
import { type InterfaceAddress, parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { publicKeyOf } from '@flannel-ts/wireguard/key';
import { pino } from 'pino';
import type { DesiredState } from '../../../daemon/src/state/desired.ts';
import { Kernel } from '../../../daemon/src/state/kernel.ts';
import { Reconciler } from '../../../daemon/src/state/reconcile.ts';

const network = parsePrefix('10.5.0.0/16');
const network6 = parsePrefix('fd00:5::/48');
const WIREGUARD_PORT = parsePort('51820');

const address4 = (node: number) => parseInterfaceAddress(`10.5.${node}.0/32`);
const address6 = (node: number) => parseInterfaceAddress(`fd00:5:0:${node}::/128`);
const subnet4 = (node: number) => parsePrefix(`10.5.${node}.0/24`);
const subnet6 = (node: number) => parsePrefix(`fd00:5:0:${node}::/64`);
const outer4 = (node: number) => parseIp(`10.64.0.1${node}`, 4);
const outer6 = (node: number) => parseIp(`fd00:64::1${node}`, 6);

/** As the kernel keeps it: with the bits set and cleared that Curve25519 wants. */
const privateKeyOf = (node: number) => Buffer.alloc(32, 0x40 + 8 * node).toString('base64');
const macOf = (node: number) => parseMac(`0a:58:0a:05:0${node}:00`);

function ipip(own: number, peer: number): DesiredState {
  const link = 'flannel.ipip';
  const addresses = [address4(own)];
  return {
    links: [{ kind: 'ipip', name: link, mtu: 1480, addresses, local: outer4(own) }],
    routes: [{ type: 'unicast', dst: subnet4(peer), link, gateway: outer4(peer), onlink: true }],
    complete: true,
  };
}

function wireguard(own: number, peer: number, overIpv6: boolean): DesiredState {
  const link = 'flannel-wg';
  const addresses: InterfaceAddress[] = [address4(own), address6(own)];
  return {
    links: [
      {
        kind: 'wireguard',
        name: link,
        mtu: 1420,
        addresses,
        port: WIREGUARD_PORT,
        privateKey: privateKeyOf(own),
        peers: [
          {
            publicKey: publicKeyOf(privateKeyOf(peer)),
            endpoint: { address: overIpv6 ? outer6(peer) : outer4(peer), port: WIREGUARD_PORT },
            keepalive: 25,
            allowedIps: [subnet4(peer), subnet6(peer)],
          },
        ],
      },
    ],
    routes: [
      { type: 'unicast', dst: network, link, scope: 'link' },
      { type: 'unicast', dst: network6, link, scope: 'link' },
    ],
    complete: true,
  };
}

function vxlan(own: number, peer: number, overIpv6: boolean): DesiredState {
  const link = overIpv6 ? 'flannel-v6.1' : 'flannel.1';
  const subnet = overIpv6 ? subnet6(peer) : subnet4(peer);
  return {
    links: [
      {
        kind: 'vxlan',
        name: link,
        mtu: 1430,
        addresses: [overIpv6 ? address6(own) : address4(own)],
        mac: macOf(own),
        vni: 1,
        port: parsePort('8472'),
        parent: 'eth0',
        local: overIpv6 ? outer6(own) : outer4(own),
        learning: false,
        gbp: false,
      },
    ],
    neighbours: [{ link, address: subnet.base, mac: macOf(peer) }],
    fdb: [{ link, mac: macOf(peer), remote: overIpv6 ? outer6(peer) : outer4(peer) }],
    routes: [{ type: 'unicast', dst: subnet, link, gateway: subnet.base, onlink: true }],
    complete: true,
  };
}

const BACKENDS = { ipip, wireguard, vxlan };

async function main([backend, node, family]: readonly string[]): Promise<void> {
  const own = Number(node);
  const netns = `/run/netns/node${own}`;
  const nl = openNetlink({ netns });
  const owner = { networks: [network, network6] };
  const kernel = new Kernel(nl, owner, { netns });
  const reconciler = new Reconciler({
    kernel,
    owner,
    ownSubnets: [subnet4(own), subnet6(own)],
    onKernelEvent: () => () => {},
    makeLinks: () => Promise.reject(new Error('There is no data path')),
    desired: () => BACKENDS[backend as keyof typeof BACKENDS](own, 3 - own, family === '6'),
    onPass: () => {},
    log: pino({ enabled: false }),
  });
  const failure = await reconciler.pass();
  console.log(`${backend} ${node}: ${failure ?? 'as desired'}, changes: ${reconciler.statistics.changes}`);
  kernel.close();
  nl.close();
}

void main(process.argv.slice(2));

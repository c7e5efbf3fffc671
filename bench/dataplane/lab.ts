/**
 * Two nodes and a pod on each, as namespaces:
 *
 *   pod-1 eth0 -- cni0 (bridge) node-1 eth0 -- eth0 node-2 cni0 -- eth0 pod-2
 *   10.1.0.2                   192.0.2.1      192.0.2.2            10.2.0.2
 *
 * "whole": the link between the nodes carries super-packets, which flatters whatever keeps them whole. "wire": everything crosses
 * it in packets of the MTU, as on a network card without offloads, and the receiver's GRO puts them together again.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import { setGro, setTso } from './link.ts';
import { type Netns, runIn } from './processes.ts';

const NETNS_DIRECTORY = '/run/netns';

export type Variant = 'whole' | 'wire';

export interface Place extends Netns {
  readonly address: string;
}

export interface Side {
  readonly number: 1 | 2;
  readonly node: Place;
  readonly pod: Place;
  readonly subnet: string;
  /** First address of the subnet: flannel's own device has it. */
  readonly device: string;
}

export class Lab {
  readonly sides: readonly [Side, Side];
  readonly #made: string[] = [];

  constructor(
    readonly name: string,
    readonly mtu: number,
  ) {
    this.sides = [this.#side(1), this.#side(2)];
  }

  setUp(): void {
    removeLeftovers();
    for (const { node, pod } of this.sides) for (const { netns } of [node, pod]) this.#make(netns);
    const [a, b] = this.sides;
    ip(a.node, `link add eth0 mtu ${this.mtu} type veth peer name eth0 mtu ${this.mtu} netns ${basename(b.node)}`);
    for (const side of this.sides) this.#plug(side);
  }

  tearDown(): void {
    for (const netns of this.#made.splice(0).reverse()) deleteNetns(netns);
  }

  setVariant(variant: Variant): void {
    for (const { node } of this.sides) {
      // The kernel then cuts super-packets before they enter the link (netif_skb_features, gso_features_check).
      ip(node, `link set eth0 gso_max_segs ${variant === 'wire' ? 1 : 65535}`);
      withNetns(node.netns, () => {
        setGro('eth0', variant === 'wire');
        // A veth merges what it receives only while its peer sends without TSO (drivers/net/veth.c, veth_skb_is_eligible_for_gro).
        setTso('eth0', variant !== 'wire');
      });
    }
  }

  /** The MTU of the pods, as the CNI plugin takes it from subnet.env. */
  setPodMtu(mtu: number): void {
    for (const { node, pod } of this.sides) {
      ip(pod, `link set eth0 mtu ${mtu}`);
      ip(node, `link set veth0 mtu ${mtu}`);
      ip(node, `link set cni0 mtu ${mtu}`);
    }
  }

  #side(number: 1 | 2): Side {
    const path = (role: string): string => `${NETNS_DIRECTORY}/${this.name}-${role}${number}`;
    return {
      number,
      node: { netns: path('node'), address: `192.0.2.${number}` },
      pod: { netns: path('pod'), address: `10.${number}.0.2` },
      subnet: `10.${number}.0.0/24`,
      device: `10.${number}.0.0`,
    };
  }

  #make(netns: string): void {
    createNetns(netns);
    this.#made.push(netns);
    withNetns(netns, () => {
      writeSysctl('net/ipv6/conf/all/disable_ipv6', 1);
      writeSysctl('net/ipv6/conf/default/disable_ipv6', 1);
      writeSysctl('net/ipv4/ip_forward', 1);
    });
  }

  #plug({ number, node, pod }: Side): void {
    ip(node, 'link set lo up');
    ip(node, `addr add ${node.address}/24 dev eth0`);
    ip(node, 'link set eth0 up');
    ip(node, 'link add cni0 type bridge');
    ip(node, `addr add 10.${number}.0.1/24 dev cni0`);
    ip(node, `link add veth0 type veth peer name eth0 netns ${basename(pod)}`);
    ip(node, 'link set veth0 master cni0 up');
    ip(node, 'link set cni0 up');
    ip(pod, 'link set lo up');
    ip(pod, `addr add ${pod.address}/24 dev eth0`);
    ip(pod, 'link set eth0 up');
    ip(pod, `route add default via 10.${number}.0.1`);
  }
}

/** Of a benchmark that was cut off: nobody else makes namespaces named so, and its process is gone. */
function removeLeftovers(): void {
  for (const name of existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY) : []) {
    const pid = /^bench-(\d+)-(?:node|pod)[12]$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) deleteNetns(`${NETNS_DIRECTORY}/${name}`);
  }
}

export function ip(place: Place, words: string): void {
  runIn(place, ['ip', ...words.split(' ')]);
}

function basename({ netns }: Place): string {
  return netns.slice(netns.lastIndexOf('/') + 1);
}

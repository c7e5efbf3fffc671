import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { Control } from '../../../src/datapath/tun/engine/control.ts';
import { type Abilities, FastForwarder } from '../../../src/datapath/tun/engine/fast/forwarder.ts';
import { Forwarder } from '../../../src/datapath/tun/engine/reference/forwarder.ts';
import { Tables } from '../../../src/datapath/tun/engine/tables.ts';
import { Underlay } from '../../../src/datapath/tun/engine/underlay.ts';
import { FakePorts } from '../fake-ports.ts';
import { MemoryPorts } from './memory-ports.ts';

export const PEER = parseIp('192.0.2.2');
export const OTHER_PEER = parseIp('192.0.2.3');
export const ALL: Abilities = { vnet: true, segment: true, merging: { tcp: true, udp: true } };

export const CONFIG = { tunAddress: parseIp('10.1.0.0'), mtu: 1472, port: parsePort(8285) };
const ROUTES: readonly (readonly [string, Ipv4])[] = [
  ['10.2.0.0/24', PEER],
  ['10.3.0.0/24', OTHER_PEER],
];

function control(): Control {
  const made = new Control();
  made.setRoutes(ROUTES.map(([subnet, peer]) => ({ subnet: parsePrefix(subnet), peer })));
  return made;
}

export function underlay(): Underlay {
  return new Underlay(4, CONFIG.port);
}

export function tablesOf({ shared }: Control): Tables {
  return new Tables(shared, underlay());
}

/** What was sent, by source port: the fast engine sends what it has read port by port. */
export function bySource<D extends { readonly source: number }>(sent: readonly D[]): Map<number, D[]> {
  const sources = [...new Set(sent.map(({ source }) => source))].sort((a, b) => a - b);
  return new Map(sources.map((source) => [source, sent.filter((datagram) => datagram.source === source)]));
}

/** The fast engine without descriptors. */
export class Fast {
  ports!: MemoryPorts;
  readonly control = control();
  /** In milliseconds. */
  readonly clock = { now: 0 };
  readonly forwarder: FastForwarder;

  constructor(abilities: Abilities = ALL, config: object = {}, sources = 1) {
    const open = (wasm: ConstructorParameters<typeof MemoryPorts>[0]): MemoryPorts => {
      this.ports = new MemoryPorts(wasm, sources);
      return this.ports;
    };
    this.forwarder = new FastForwarder(
      open,
      { ...CONFIG, ...config },
      abilities,
      tablesOf(this.control),
      () => this.clock.now,
    );
    this.forwarder.refreshRoutes();
  }

  out(...reads: readonly Uint8Array[]): void {
    this.ports.tun.push(...reads);
    while (this.forwarder.egress.forward());
  }

  in(): void {
    while (this.forwarder.ingress.forward());
  }

  get counters(): ReturnType<Control['counters']> {
    return this.control.counters();
  }
}

/** The reference engine without descriptors. */
export class Reference {
  readonly ports: FakePorts;
  readonly control = control();
  readonly forwarder: Forwarder;

  constructor(sources = 1) {
    this.ports = new FakePorts(sources);
    this.forwarder = new Forwarder(this.ports, CONFIG, this.control.shared, underlay(), () => 0);
    this.forwarder.refreshRoutes();
  }

  out(...packets: readonly Uint8Array[]): void {
    this.ports.tun.push(...packets);
    while (this.forwarder.forwardOutgoing());
  }

  in(): void {
    while (this.forwarder.forwardIncoming());
  }

  get counters(): ReturnType<Control['counters']> {
    return this.control.counters();
  }
}

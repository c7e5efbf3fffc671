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

/** The fast engine without descriptors. */
export class Fast {
  ports!: MemoryPorts;
  readonly control = control();
  /** In milliseconds. */
  readonly clock = { now: 0 };
  readonly forwarder: FastForwarder;

  constructor(abilities: Abilities = ALL, config: object = {}) {
    const open = (wasm: ConstructorParameters<typeof MemoryPorts>[0]): MemoryPorts => {
      this.ports = new MemoryPorts(wasm);
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
  readonly ports = new FakePorts();
  readonly control = control();
  readonly forwarder = new Forwarder(this.ports, CONFIG, this.control.shared, underlay(), () => 0);

  constructor() {
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

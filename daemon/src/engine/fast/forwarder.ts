import type { Shared } from '../shared.ts';
import { Answers } from './answers.ts';
import { Egress } from './egress.ts';
import { Ingress, type Merging } from './ingress.ts';
import type { Ports } from './ports.ts';
import { type ForwarderConfig, State } from './state.ts';
import { instantiate, type Wasm } from './wasm.ts';

/** What the kernel does for us, or lets us do for it. */
export interface Abilities {
  /** The device has a virtio header before each packet. */
  readonly vnet: boolean;
  /** UDP_SEGMENT. */
  readonly segment: boolean;
  readonly merging: Merging;
}

export const NO_ABILITIES: Abilities = { vnet: false, segment: false, merging: { tcp: false, udp: false } };

/** Both directions over one memory. */
export class FastForwarder {
  readonly wasm: Wasm;
  readonly egress: Egress;
  readonly ingress: Ingress;
  readonly #state: State;

  constructor(
    openPorts: (wasm: Wasm) => Ports,
    config: ForwarderConfig,
    abilities: Abilities,
    shared: Shared,
    now: () => number,
  ) {
    const state = new State(shared);
    this.#state = state;
    this.wasm = instantiate({
      ownerOf: (address) => state.ownerOf(address),
      isPeer: (address) => (state.isPeer(address) ? 1 : 0),
      refuse: (verdict, packet, length) => this.ingress.refuse(verdict, packet, length),
      makeRoom: () => this.ingress.flush(),
    });
    const { wasm } = this;
    wasm.configure(config.mtu, config.tunAddress, config.port, (config.filterPeers ?? true) ? 1 : 0);
    const ports = openPorts(wasm);
    const { vnet, segment, merging } = abilities;
    const answers = new Answers(wasm, ports, state, config, vnet, now);
    this.egress = new Egress(wasm, ports, state, answers, config, vnet, segment);
    this.ingress = new Ingress(wasm, ports, state, answers, config, vnet, merging);
  }

  refreshRoutes(): void {
    if (!this.#state.refreshRoutes()) return;
    this.wasm.forgetRoutes();
    this.egress.rerouteWaiting();
  }
}

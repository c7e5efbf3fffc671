import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { ownAddresses } from '../own-addresses.ts';
import type { Tables } from '../tables.ts';
import { Answers } from './answers.ts';
import * as layout from './assembly/layout.ts';
import { Egress } from './egress.ts';
import { Ingress, type Merging } from './ingress.ts';
import type { Ports } from './ports.ts';
import { type Outcome, testWrites } from './selftest.ts';
import { type ForwarderConfig, State } from './state.ts';
import { instantiate, type Wasm } from './wasm.ts';

/** Offloads, in either direction. */
export interface Abilities {
  /** The device has a virtio header before each packet. */
  readonly vnet: boolean;
  /** UDP_SEGMENT. */
  readonly segment: boolean;
  /** UDP_GRO. */
  readonly gro?: boolean;
  /** The device accepts the kinds of super-packets that it delivers. */
  readonly merging: Merging;
}

export const NO_ABILITIES: Abilities = { vnet: false, segment: false, merging: { tcp: false, udp: false } };

/** A source address for nodes without one, RFC 7600. */
const IPV4_DUMMY = parseIp('192.0.0.8');

/** Both directions over one memory. */
export class FastForwarder {
  readonly wasm: Wasm;
  readonly egress: Egress;
  readonly ingress: Ingress;
  readonly #state: State;
  readonly #ports: Ports;

  constructor(
    openPorts: (wasm: Wasm) => Ports,
    readonly config: ForwarderConfig,
    readonly abilities: Abilities,
    tables: Tables,
    now: () => number,
  ) {
    const { underlay } = tables;
    const state = new State(tables, config.mtu, now);
    this.#state = state;
    this.wasm = instantiate({
      ownerOf: (address) => state.ownerOf(address),
      ownerOf6: (at) => state.ownerOf6(this.wasm.bytes, at),
      peerAt: (name) => underlay.peerAt(this.wasm.bytes, name),
      describeTarget: (peer) => state.paths.describe(this.wasm, peer >>> 0),
      isPeerAddress: (at) => (underlay.peerOfAddress(this.wasm.bytes, at) === 0 ? 0 : 1),
      refuse: (verdict, packet, length) => this.ingress.refuse(verdict, packet, length),
      makeRoom: () => this.ingress.flush(),
    });
    const { wasm } = this;
    const filter = (config.filterPeers ?? true) ? 1 : 0;
    wasm.configure(config.mtu, config.tunAddress ?? 0, underlay.nameBytes, underlay.port, filter);
    if (config.tunAddress6 !== undefined) {
      wasm.bytes.set(ipToBytes(config.tunAddress6), layout.OWN_ADDRESS6);
      wasm.enableIpv6();
    }
    const ports = openPorts(wasm);
    this.#ports = ports;
    const { vnet, segment, merging } = abilities;
    state.setAbility('vnetHeader', vnet ? 1 : 0);
    state.setAbility('udpSegment', segment ? 1 : 0);
    state.setAbility('udpGro', abilities.gro ? 1 : 0);
    state.setAbility('deviceTso', vnet && merging.tcp ? 1 : 0);
    state.setAbility('deviceUso', vnet && merging.udp ? 1 : 0);
    state.setAbility('busyPollUs', config.busyPollUs ?? 0);
    const answers = new Answers(wasm, ports, state, ownAddresses(config), vnet, now);
    this.egress = new Egress(wasm, ports, state, answers, config, vnet, segment);
    this.ingress = new Ingress(wasm, ports, state, answers, config, vnet, merging);
  }

  /** Tests what the device accepts, and uses only that. False while the device is down. */
  testDevice(): boolean {
    const { merging } = this.abilities;
    if (!merging.tcp && !merging.udp) return true;
    const working = testWrites(this.wasm, this.#ports, this.config.tunAddress ?? IPV4_DUMMY, merging);
    if (working === undefined) return false;
    const failed = working.tcp !== merging.tcp || working.udp !== merging.udp;
    if (failed) this.ingress.setMerging(working);
    this.noteTest(failed ? 'failed' : 'passed');
    return true;
  }

  /** The worst of several outcomes is kept. */
  noteTest(outcome: Outcome): void {
    if (outcome === 'failed') this.#state.count('offloadFallbacks', 1);
    this.#state.noteTest(outcome);
  }

  /** Whether there is more to apply: then the thread must not sleep. */
  get hasChanges(): boolean {
    return this.#state.tables.pending;
  }

  refreshRoutes(): void {
    if (!this.#state.tables.refresh()) return;
    this.wasm.forgetRoutes();
    this.egress.rerouteWaiting();
  }
}

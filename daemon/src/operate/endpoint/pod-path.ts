/** Whether packets of pods get through this node: peers are asked from the health endpoint, beside what the host asks. */
import { formatIp } from '@flannel-ts/inet/ip';
import type { PrefixKey } from '@flannel-ts/inet/prefix';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import type { Logger } from 'pino';
import { sleep } from '../../abort.ts';
import type { OverlayPeer, PeerChange } from '../../datapath/datapath.ts';
import { changePeers } from '../../datapath/peers.ts';
import { messageOf } from '../../errors.ts';
import { runTogether } from '../../tasks.ts';
import { judgePodPath } from '../reach/judge.ts';
import { createProber, type Prober } from '../reach/prober.ts';
import type { Readiness } from '../readiness.ts';
import { Endpoint, type EndpointSettings } from './endpoint.ts';
import { reserveAddress } from './reserve.ts';

export interface PodPathParts {
  readonly nl: Netlink;
  /** What asks from the host. */
  readonly host: Prober;
  readonly readiness: Readiness;
  readonly log: Logger;
}

/** Where readiness knows it by. */
export const POD_PATH = 'pod path';

const EVERY_MS = 5000;
/** Half as often as the host asks. */
const GAP_MS = 200;

export class PodPath {
  private readonly peers = new Map<PrefixKey, OverlayPeer>();
  private isUp = false;
  /** At some time of this process. */
  private wasUp = false;
  private waits: string | undefined;
  private lost: string | undefined;
  private readonly endpoint: Endpoint;
  private readonly prober: Prober;

  constructor(
    settings: EndpointSettings,
    private readonly dataDir: string,
    private readonly parts: PodPathParts,
  ) {
    this.endpoint = new Endpoint(parts.nl, settings);
    const openSocket = this.endpoint.openPort.bind(this.endpoint);
    this.prober = createProber({ mtu: settings.mtu, answers: settings.answers, gapMs: GAP_MS, openSocket }, () =>
      this.judge(),
    );
  }

  setPeers(change: PeerChange): void {
    changePeers(this.peers, change);
    if (this.isUp) this.prober.setPeers(change);
  }

  /** Of the overlay, from then on. */
  setMtu(mtu: number): void {
    this.endpoint.setMtu(mtu);
    this.prober.setMtu(mtu);
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await runTogether([(stop) => this.prober.run(stop), (stop) => this.keep(stop)], signal);
    } finally {
      this.endpoint.close();
    }
  }

  private async keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let state: ReturnType<Endpoint['ensure']>;
      try {
        const taken = this.endpoint.addresses.map(formatIp).find((address) => !reserveAddress(this.dataDir, address));
        state = taken === undefined ? this.endpoint.ensure() : { waitsFor: `the address ${taken}, which a pod has` };
      } catch (error) {
        state = { waitsFor: `what failed to work: ${messageOf(error)}` };
      }
      this.take(state);
      await sleep(EVERY_MS, signal);
    }
  }

  private take(state: ReturnType<Endpoint['ensure']>): void {
    if (typeof state === 'object') {
      if (this.waits !== state.waitsFor) this.parts.log.info(`The health endpoint waits for ${state.waitsFor}`);
      if (this.isUp) this.endpoint.close();
      this.wasUp ||= this.isUp;
      this.isUp = false;
      this.waits = state.waitsFor;
      this.lost = state.lost;
      this.forget();
    } else if (state === 'made') {
      this.parts.log.info(`Made the health endpoint ${this.from}`);
      this.isUp = true;
      this.waits = undefined;
      this.lost = undefined;
      this.prober.reopen();
      this.forget();
      this.prober.setPeers({ set: [...this.peers.values()], removed: [] });
    }
  }

  private forget(): void {
    const removed = this.prober.report().map(({ subnet }) => subnet);
    this.prober.setPeers({ set: [], removed });
  }

  /** Pods were connected to what is missing now, and nobody but their runtime connects them again. */
  private lostTrouble(): string | undefined {
    return this.wasUp && this.lost !== undefined
      ? `pods of this node are cut off, ${this.lost}: start them again`
      : undefined;
  }

  private get from(): string {
    return this.endpoint.addresses.map(formatIp).join(' and ');
  }

  private judge(): void {
    const { host, readiness } = this.parts;
    const facts = { host: host.report(), pod: this.prober.report(), from: this.from, graceMs: this.prober.graceMs() };
    const { trouble = this.lostTrouble(), notes } = judgePodPath(facts);
    readiness.report(POD_PATH, trouble, this.lost === undefined ? undefined : 'start the pods of this node again');
    const waiting = this.waits === undefined ? [] : [`the health endpoint waits for ${this.waits}`];
    const all = [...waiting, ...notes];
    readiness.note(POD_PATH, all.length > 0 ? all.join('; ') : undefined);
  }
}

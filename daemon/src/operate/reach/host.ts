/** Asks the peers from this node's address in the overlay, and says what the answers mean for this node. */
import type { Carrier } from '@flannel-ts/flannel/backend-needs';
import { familyOf } from '@flannel-ts/inet/ip';
import type { Probing } from '../../backend/backend.ts';
import type { Overlay } from '../../datapath/datapath.ts';
import type { Readiness } from '../readiness.ts';
import { judgeReach } from './judge.ts';
import { PathLimits, type SetPathLimit } from './limits.ts';
import { createProber, type Prober } from './prober.ts';
import { EchoSocket } from './socket.ts';

/** Where readiness knows it by. */
const REACH = 'reach';

/** `probing` is asked for each socket: the node may have another address by then. */
export function probeFromHost(
  { mtu }: Overlay,
  probing: () => Probing,
  carriers: readonly Carrier[],
  readiness: Readiness,
  setPathLimit: SetPathLimit,
): Prober {
  const limits = new PathLimits(setPathLimit);
  const { answers } = probing();
  return createProber(
    {
      mtu,
      answers,
      openSocket: (family) => {
        const own = probing().addresses.find((candidate) => familyOf(candidate) === family);
        return own === undefined ? undefined : new EchoSocket(family, own, answers === 'node');
      },
    },
    (prober) => {
      const peers = prober.report();
      limits.update(peers);
      const { trouble, notes } = judgeReach({
        peers,
        mtu: prober.mtu(),
        carriers,
        graceMs: prober.graceMs(),
        blocked: prober.blocked(),
      });
      readiness.report(REACH, trouble);
      readiness.note(REACH, notes.length > 0 ? notes.join('; ') : undefined);
    },
  );
}

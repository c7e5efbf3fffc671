/** Datagrams: the highest rate that arrives almost whole, and what arrives when the sender gives all it has. */
import type { Lab } from '../lab.ts';
import { type UdpRate, udpRate } from '../measure.ts';
import type { Session } from '../session.ts';

const SIZES = [200, 1400];
/** Percent. */
const ALLOWED_LOSS = 1;
/** One hiccup of the machine in a second loses some: short of that much, a second try decides. */
const NEAR_LOSS = 20;
/** The range that is looked through: from this part of what the sender can send up to all of it. */
const RANGE = 8;
const STEPS = 4;

export async function measureUdp(session: Session): Promise<void> {
  const { record, settings } = session;
  await session.withLab(1500, async (lab) => {
    lab.setVariant('wire');
    await session.eachRound(lab, session.paths, async ({ series: { name } }) => {
      for (const size of SIZES) {
        const full = await settled(() => udpRate(lab, size, settings.seconds));
        record.note(`UDP of ${size} bytes at full speed, received`, 'thousand/s', name, full.received);
        record.note(`UDP of ${size} bytes at full speed, lost`, '%', name, full.lost);
        record.note(
          `UDP of ${size} bytes at full speed, lost to a full buffer of the receiver`,
          '%',
          name,
          full.unread,
        );
        const best = await highestRate(lab, size, settings.seconds, full);
        record.note(`UDP of ${size} bytes, highest rate with under 1 % lost`, 'thousand/s', name, best);
      }
    });
  });
}

/** Thousands a second that arrived; halves the range of offered rates, as ratios, STEPS times: the result is exact to a seventh. */
async function highestRate(lab: Lab, size: number, seconds: number, full: UdpRate): Promise<number> {
  if (full.lost < ALLOWED_LOSS) return full.received;
  const sent = full.received / (1 - full.lost / 100);
  let [low, high, best] = [sent / RANGE, sent, 0];
  for (let step = 0; step < STEPS; step++) {
    const offered = Math.sqrt(low * high);
    const result = await settled(() => udpRate(lab, size, seconds, offered));
    if (result.lost < ALLOWED_LOSS) {
      best = Math.max(best, result.received);
      low = offered;
    } else {
      high = offered;
    }
  }
  // Below the range: one look at its end, rather than no figure.
  if (best > 0) return best;
  const least = await udpRate(lab, size, seconds, low);
  return least.lost < ALLOWED_LOSS ? least.received : 0;
}

async function settled(measure: () => Promise<UdpRate>): Promise<UdpRate> {
  const first = await measure();
  if (first.lost < ALLOWED_LOSS || first.lost >= NEAR_LOSS) return first;
  const second = await measure();
  return second.lost < first.lost ? second : first;
}

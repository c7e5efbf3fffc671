/** Datagrams: the highest rate that arrives almost whole, and what arrives when the sender gives all it has. */
import type { Lab } from '../lab.ts';
import { type UdpRate, udpRate } from '../measure.ts';
import type { Session } from '../session.ts';

const SIZES = [200, 1400];
/** Percent. */
const ALLOWED_LOSS = 1;
/** One hiccup of the machine in a second loses some: close to the limit, a second try decides. */
const NEAR_LOSS = 5;
const STEPS = 5;

export async function measureUdp(session: Session): Promise<void> {
  const { record, settings } = session;
  await session.withLab(1500, async (lab) => {
    lab.setVariant('wire');
    await session.eachRound(lab, session.paths, async ({ series: { name } }) => {
      for (const size of SIZES) {
        const full = await udpRate(lab, size, settings.seconds);
        record.note(`UDP of ${size} bytes at full speed, received`, 'thousand/s', name, full.received);
        record.note(`UDP of ${size} bytes at full speed, lost`, '%', name, full.lost);
        const best = await highestRate(lab, size, settings.seconds, full);
        record.note(`UDP of ${size} bytes, highest rate with under 1 % lost`, 'thousand/s', name, best);
      }
    });
  });
}

/** Thousands a second that arrived; halves the range of offered rates, as ratios, STEPS times. */
async function highestRate(lab: Lab, size: number, seconds: number, full: UdpRate): Promise<number> {
  if (full.lost < ALLOWED_LOSS) return full.received;
  const sent = full.received / (1 - full.lost / 100);
  let [low, high, best] = [sent / 64, sent, 0];
  for (let step = 0; step < STEPS; step++) {
    const offered = Math.sqrt(low * high);
    let result = await udpRate(lab, size, seconds, offered);
    if (result.lost >= ALLOWED_LOSS && result.lost < NEAR_LOSS) result = await udpRate(lab, size, seconds, offered);
    if (result.lost < ALLOWED_LOSS) {
      best = Math.max(best, result.received);
      low = offered;
    } else {
      high = offered;
    }
  }
  return best;
}

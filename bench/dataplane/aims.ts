/** What the fast engine is to reach, and whether it did. */
import type { Result } from '../result.ts';

export interface Aim {
  readonly text: string;
  /** Of the result that tells. */
  readonly name: string;
  /** The ratio to this peer counts; without it the value does. */
  readonly peer?: string;
  readonly least?: number;
  readonly most?: number;
}

const MTUS = [1500, 9001];
const STREAMS = ['1 stream', '4 streams'];

const TITLES = { vxlan: "VXLAN's", reference: "the reference engine's", flannel: "flannel's own udp backend's" };

const tcp = (variant: string, peer: keyof typeof TITLES, least: number): Aim[] =>
  MTUS.flatMap((mtu) =>
    STREAMS.map((streams) => ({
      text: `TCP, ${streams}, ${variant}, MTU ${mtu}: of ${TITLES[peer]} rate`,
      name: `TCP, ${streams}, ${variant}, MTU ${mtu}: fast`,
      peer,
      least,
    })),
  );

const answer = (series: string, most: number): Aim[] =>
  ['TCP request and response, median', 'Ping every 5 ms, average'].map((measure) => ({
    text: `${measure}${series === 'fast' ? '' : ', busy polling'}: of VXLAN's`,
    name: `${measure}: ${series}`,
    peer: 'vxlan',
    most,
  }));

export const AIMS: readonly Aim[] = [
  ...tcp('wire', 'vxlan', 1),
  ...tcp('whole', 'vxlan', 0.75),
  ...tcp('wire', 'reference', 12),
  ...tcp('whole', 'reference', 12),
  ...tcp('wire', 'flannel', 12),
  ...tcp('whole', 'flannel', 12),
  ...answer('fast', 1.5),
  ...answer('fast, busy polling', 1.2),
  {
    text: 'UDP of 200 bytes with under 1 % lost: of the rate that VXLAN carries so',
    name: 'UDP of 200 bytes, highest rate with under 1 % lost: fast',
    peer: 'vxlan',
    least: 1,
  },
  { text: 'Resident memory of flanneld after load, MB', name: 'flanneld: resident memory, after load: fast', most: 80 },
  {
    text: 'Processor time of an idle flanneld, % of one processor',
    name: 'flanneld: idle, of one processor: fast',
    most: 0.5,
  },
];

export interface Verdict {
  readonly aim: Aim;
  readonly measured: number;
  readonly met: boolean;
  /** How far off, as a share of the limit; 0 where it was met. */
  readonly missedBy: number;
}

/** Of the aims that were measured. */
export function judge(results: readonly Result[], aims: readonly Aim[] = AIMS): Verdict[] {
  return aims.flatMap((aim) => {
    const result = results.find(
      ({ name, peer }) => name === aim.name && (aim.peer === undefined || peer?.name === aim.peer),
    );
    if (result === undefined) return [];
    const measured = aim.peer === undefined ? result.value : (result.ratio ?? Number.NaN);
    const short = aim.least === undefined ? (measured - aim.most!) / aim.most! : (aim.least - measured) / aim.least;
    const met = short <= 0;
    return [{ aim, measured, met, missedBy: met ? 0 : short }];
  });
}

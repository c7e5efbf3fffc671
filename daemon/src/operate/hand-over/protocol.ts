/**
 * What two flanneld processes of one network say to each other, a JSON object in a line. Descriptors go by a datagram beside it
 * (SCM_RIGHTS), to a socket of the process that takes over: neither runtime tells the descriptor of a connection. Pure.
 *
 *     present                                       next
 *     {"protocol":1,"pid":812,"state":"serving"} ->
 *                                                <- {"take":"/run/flannel/.830.take"}
 *     descriptors, {"resting":["device","socket"]} ->        all but packets is at rest
 *                                                <- {"pause":true}       its peers are known
 *     {"paused":true}                            ->          packets wait in device and socket
 *                                                <- {"taken":true}       packets move again
 *
 * When the connection ends, the present one goes on as before. A present one that waits in vain says {"back":"why"} and does so, too.
 */

export const PROTOCOL = 1;

/** `/run/flannel/subnet.handover` for `/run/flannel/subnet.env`. */
export function handOverSocketOf(subnetFile: string): string {
  return `${subnetFile.replace(/\.env$/, '')}.handover`;
}

/** Of who answers: `starting` until packets of its own pods are taken. */
export interface Greeting {
  readonly protocol: number;
  readonly pid: number;
  readonly state: 'starting' | 'serving';
}

export type Said =
  | Greeting
  | { readonly resting: readonly string[] }
  | { readonly paused: true }
  | { readonly refused: string }
  | { readonly back: string };

export type Asked =
  | { readonly take: string }
  | { readonly pause: true }
  | { readonly taken: true }
  /** It is of no use any more: the one that took over is itself taken over. */
  | { readonly end: true };

export function line(message: Said | Asked): string {
  return `${JSON.stringify(message)}\n`;
}

/** Whole lines out of the pieces in which they come; what is no JSON object is left out. */
export class Lines<T extends object> {
  private rest = '';

  take(piece: string): T[] {
    const lines = (this.rest + piece).split('\n');
    this.rest = lines.pop() ?? '';
    return lines.flatMap((text) => parse<T>(text) ?? []);
  }
}

function parse<T extends object>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

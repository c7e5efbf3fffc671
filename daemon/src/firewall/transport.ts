/** Whether a match on the protocol or the port, as nft writes it in JSON, holds for what carries packets between nodes. */
import { type Carrier, IPIP_PROTOCOL } from '@flannel-ts/flannel/backend-needs';
import { type Answer, answerOf, opposite, record } from './answer.ts';

export interface JsonMatch {
  readonly op?: unknown;
  readonly left?: unknown;
  readonly right?: unknown;
}

/** By name, as in /etc/protocols and in iptables' own list, and by number. */
const NAMES: Readonly<Record<Carrier['protocol'], readonly unknown[]>> = {
  udp: ['udp', 17],
  ipip: ['ipencap', 'ipv4', 'ipip', IPIP_PROTOCOL],
};

/** Headers that a packet of another protocol has not, so that no match on their fields holds. */
const TRANSPORTS = new Set<unknown>([
  'tcp',
  'udp',
  'udplite',
  'sctp',
  'dccp',
  'icmp',
  'icmpv6',
  'igmp',
  'esp',
  'ah',
  'comp',
]);

/** `carrier` undefined: nothing is known of the packet's protocol. */
export function matchesTransport({ op, left, right }: JsonMatch, carrier: Carrier | undefined): Answer {
  if (carrier === undefined) return 'maybe';
  const { meta, payload } = record(left);
  const { protocol, field } = record(payload);
  const compared = (test: (value: unknown) => Answer): Answer => {
    const answer = anyOf(right, test);
    return op === '!=' ? opposite(answer) : answer;
  };
  const isProtocol =
    record(meta).key === 'l4proto' ||
    (protocol === 'ip' && field === 'protocol') ||
    (protocol === 'ip6' && field === 'nexthdr');
  if (isProtocol) return compared((value) => answerOf(NAMES[carrier.protocol].includes(numberOr(value))));
  if (TRANSPORTS.has(protocol) && protocol !== carrier.protocol) return 'no';
  if (field === 'dport' && carrier.protocol === 'udp') return compared((value) => matchesPort(value, carrier.port));
  return 'maybe';
}

/** The value, or any of a set of them. */
function anyOf(right: unknown, test: (value: unknown) => Answer): Answer {
  const { set } = record(right);
  const answers = (Array.isArray(set) ? set : [right]).map(test);
  if (answers.includes('yes')) return 'yes';
  return answers.includes('maybe') ? 'maybe' : 'no';
}

/** A number, or a range of them; of a named set or service nothing is known. */
function matchesPort(value: unknown, port: number): Answer {
  if (typeof value === 'number') return answerOf(value === port);
  const { range } = record(value);
  if (!Array.isArray(range)) return 'maybe';
  return answerOf(Number(range[0]) <= port && port <= Number(range[1]));
}

function numberOr(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}

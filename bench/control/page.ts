/** The control plane's part of docs/performance.md. */
import { type Aim, judge } from '../dataplane/aims.ts';
import { markdownTable, round } from '../markdown.ts';
import type { Result } from '../result.ts';

const LEASES = ['udp', 'vxlan'].flatMap((backend) => ['1,000', '5,000'].map((count) => `${backend}, ${count} leases`));

export const CONTROL_AIMS: readonly Aim[] = LEASES.flatMap((leases): Aim[] => [
  {
    text: `${leases}: from the start to packets for every peer, ms`,
    name: `Control, ${leases}: start to all peers in place`,
    most: 2000,
  },
  {
    text: `${leases}: from a change in etcd to packets at the peer's new address, 99 of 100, ms`,
    name: `Control, ${leases}: a peer moves, until packets follow (p99)`,
    most: 100,
  },
  { text: `${leases}: resident memory, MB`, name: `Control, ${leases}: resident memory`, most: 90 },
  {
    text: `${leases}: resident memory after the changes, MB`,
    name: `Control, ${leases}: resident memory after the changes`,
    most: 90,
  },
]);

export function isOfControl({ name }: Result): boolean {
  return name.startsWith('Control, ');
}

export function controlPage(results: readonly Result[]): string {
  const aims = judge(results, CONTROL_AIMS).map(({ aim, measured, met, missedBy }) => [
    aim.text,
    `at most ${aim.most}`,
    round(measured),
    met ? 'met' : `**missed by ${round(missedBy * 100)} %**`,
  ]);
  const hasPeer = results.some(({ peer }) => peer !== undefined);
  const rows = results.map(({ name, unit, value, peer }) => [
    name.replace(/^Control, /, ''),
    unit,
    round(value),
    ...(hasPeer ? [peer === undefined ? '' : round(peer.value)] : []),
  ]);
  return `The shipped \`dist/flanneld\`, a real etcd, and peers that exist in etcd only. Everything is seen from outside, by packets that arrive.
Memory is read ten seconds after the start, and again 25 seconds after the last change. A renewal is a put of the value that is there
already, one by each peer within ten seconds. An outage of etcd lasts five seconds. Daemons that start at once have a namespace each; one
that ends has not got a subnet.

${markdownTable(['aim', 'limit', 'measured', ''], aims)}

${markdownTable(['', 'unit', 'here', ...(hasPeer ? ["flannel's own"] : [])], rows)}`;
}

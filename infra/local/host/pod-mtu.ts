/**
 * The MTU of a pod that runs. A backend that adds more bytes leaves less for packets of pods: with the MTU that a pod was made
 * with, its large packets would be too large for the overlay, which is told by ICMP, and which not every program bears.
 */
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link, listLinks, setLink } from '@flannel-ts/rtnetlink/link';
import type { Attachment } from './cni.ts';

export function podMtuProblem(attachment: Attachment, wanted: number): string | undefined {
  const mtu = podLink(attachment)?.mtu;
  if (mtu === undefined || mtu === wanted) return undefined;
  return `${attachment.container} has MTU ${mtu} instead of ${wanted}`;
}

/** On both ends of its pair, and on the bridge as far as all pods are that far. A receiver drops what is larger than its own. */
export function setPodMtu(attachment: Attachment, mtu: number): void {
  const link = podLink(attachment);
  if (link === undefined || link.mtu === mtu) return;
  const inPod = () => withNetlink({ netns: attachment.sandbox }, (nl) => setLink(nl, link.index, { mtu }));
  if (mtu < link.mtu) inPod(); // before the other end, which would drop the larger ones
  withNetlink({ netns: attachment.netns }, (nl) => {
    if (link.peerIndex !== undefined) setLink(nl, link.peerIndex, { mtu });
    setBridgeMtu(nl, mtu);
  });
  if (mtu > link.mtu) inPod();
}

function podLink({ sandbox, interface: name }: Attachment): Link | undefined {
  return withNetlink({ netns: sandbox }, (nl) => getLink(nl, name));
}

function setBridgeMtu(nl: Netlink, mtu: number): void {
  const bridge = getLink(nl, DEFAULT_BRIDGE);
  if (bridge === undefined || bridge.mtu === mtu) return;
  if (mtu > bridge.mtu && listLinks(nl, { master: bridge.index }).some((port) => port.mtu < mtu)) return;
  setLink(nl, bridge.index, { mtu });
}

import { statFile } from '@flannel-ts/linux/text-files';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import type { Attachment, Attachments } from './attachments.ts';
import { sweepMasquerade } from './gc.ts';
import { hostInterfaceName } from './names.ts';
import { ownNamespace } from './netns.ts';

/** An ADD may be under way. */
export const YOUNGEST_MS = 2 * 60_000;

export interface Surroundings {
  /** The number of what is at a path; undefined when nothing is. */
  readonly inodeAt: (path: string) => string | undefined;
  readonly hasLink: (name: string) => boolean;
  /** This namespace. */
  readonly host: string;
  readonly now: number;
}

/**
 * Attachments whose DEL never came: a chained plugin's failed DEL kept the runtime from calling ours (containerd #12130), or the runtime
 * died and forgot them. An attachment is an orphan when its namespace is no longer where it was and the host's end of its pair is
 * gone, as it goes with the namespace; a pod that lives has both.
 */
export function orphansOf(
  attachments: readonly Attachment[],
  { inodeAt, hasLink, host, now }: Surroundings,
): Attachment[] {
  return attachments.filter((attachment) => {
    if (attachment.host !== host || now - attachment.madeAt < YOUNGEST_MS) return false;
    if (inodeAt(attachment.netns) === attachment.inode) return false;
    return !hasLink(hostInterfaceName(attachment.containerId, attachment.ifName));
  });
}

/** `del` is a DEL of that attachment. What fails is tried again with the next sweep. */
export function removeOrphans(attachments: Attachments, del: (attachment: Attachment) => void): void {
  const listed = attachments.list();
  withNetlink({}, (nl) => {
    const hasLink = (name: string): boolean => getLink(nl, name) !== undefined;
    const host = ownNamespace();
    for (const orphan of orphansOf(listed, { inodeAt, hasLink, host, now: Date.now() })) del(orphan);
  });
  sweepMasquerade();
}

function inodeAt(path: string): string | undefined {
  try {
    return `${statFile(path).inode}`;
  } catch {
    return undefined;
  }
}

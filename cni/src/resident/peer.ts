import { OWN_NETNS } from '@flannel-ts/linux/enter-netns';
import type { Fd } from '@flannel-ts/linux/files';
import { peerOf } from '@flannel-ts/linux/socket';
import { type FileStatus, sameFile, statFile } from '@flannel-ts/linux/text-files';

/** What makes paths and interfaces mean the same to two processes. */
const NAMESPACES = ['net', 'mnt', 'user', 'pid'] as const;

/** Of this process. */
export class Surroundings {
  readonly #own: readonly FileStatus[] = [...NAMESPACES.map(namespaceOf), statFile('/')];

  /**
   * Where the caller at the other end is, as a path; undefined for one who is not root, or who sees other files, interfaces or processes
   * than we do: a runtime in a container, under a name of ours that it was given.
   */
  callerAt(connection: Fd): string | undefined {
    const { pid, uid } = peerOf(connection);
    if (uid !== 0 || pid <= 0) return undefined;
    const process = `/proc/${pid}`;
    const its = [...NAMESPACES.map((name) => statFile(`${process}/ns/${name}`)), statFile(`${process}/root`)];
    return its.every((status, i) => sameFile(status, this.#own[i]!)) ? `${process}/cwd` : undefined;
  }
}

function namespaceOf(name: (typeof NAMESPACES)[number]): FileStatus {
  return statFile(name === 'net' ? OWN_NETNS : `/proc/self/ns/${name}`);
}

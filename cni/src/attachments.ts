import { stringifyExactJson } from '@flannel-ts/flannel/exact-json';
import { type JsonObject, newJsonObject, readJsonObject, removeField } from '@flannel-ts/flannel/go-json';
import type { Fd } from '@flannel-ts/linux/files';
import { readTextFile, statFile, unlinkFile, writeNewFile } from '@flannel-ts/linux/text-files';
import { codeOf } from './errors.ts';
import { makeDirectories, nodeFs } from './files.ts';
import type { Owner } from './ipam/store.ts';
import { integerField, objectField, stringField } from './json.ts';
import { hostInterfaceName } from './names.ts';
import { ownNamespace } from './netns.ts';
import type { Request } from './protocol.ts';

/**
 * What is attached, and to which namespace, in a file for each beside subnet.env, where it does not outlast a boot: a DEL that no
 * runtime sends can be made of it (orphans.ts). A call does not depend on it.
 */
export interface Attachment extends Owner {
  /** As CNI_NETNS named it, and the number it had. */
  readonly netns: string;
  readonly inode: string;
  /** Of the host's side. */
  readonly host: string;
  /** By Date.now(). */
  readonly madeAt: number;
  /** As the runtime sent it. */
  readonly config: JsonObject;
}

export class Attachments {
  readonly #directory: string;

  constructor(subnetFile: string) {
    this.#directory = `${subnetFile.slice(0, subnetFile.lastIndexOf('/'))}/cni-attachments`;
  }

  note(request: Request, sandbox: Fd): void {
    const config = newJsonObject(request.config);
    removeField(config, 'prevResult');
    const { containerId, ifName, netns } = request;
    const [inode, host] = [`${statFile(sandbox).inode}`, ownNamespace()];
    const text = stringifyExactJson({ containerId, ifName, netns, inode, host, madeAt: Date.now(), config });
    try {
      this.forget(request);
      this.#write(request, text);
    } catch {
      // Orphans are then found by the next boot, or by GC.
    }
  }

  #write(owner: Owner, text: string): void {
    try {
      writeNewFile(this.#path(owner), text, 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      makeDirectories(this.#directory, 0o700);
      writeNewFile(this.#path(owner), text, 0o600);
    }
  }

  forget(owner: Owner): void {
    try {
      unlinkFile(this.#path(owner));
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
    }
  }

  list(): Attachment[] {
    return namesIn(this.#directory).flatMap((name) => read(`${this.#directory}/${name}`) ?? []);
  }

  #path({ containerId, ifName }: Owner): string {
    return `${this.#directory}/${hostInterfaceName(containerId, ifName)}`;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return nodeFs().readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Undefined for what was removed meanwhile, or is none. */
function read(path: string): Attachment | undefined {
  let text: string;
  try {
    text = readTextFile(path);
  } catch {
    return undefined;
  }
  const object = readJsonObject(text);
  if (object === undefined) return undefined;
  const config = objectField(object, 'config');
  const madeAt = integerField(object, 'madeAt');
  const [containerId, ifName, netns, inode, host] = ['containerId', 'ifName', 'netns', 'inode', 'host'].map((name) =>
    stringField(object, name),
  );
  if (!containerId || !ifName || !netns || !inode || !host || config === undefined || madeAt === undefined)
    return undefined;
  return { containerId, ifName, netns, inode, host, madeAt, config };
}

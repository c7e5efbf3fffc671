import { stringifyExactJson } from '@flannel-ts/flannel/exact-json';
import { type JsonObject, readJsonObject } from '@flannel-ts/flannel/go-json';
import { isPresent, readTextFile, unlinkFile, writeNewFile } from '@flannel-ts/linux/text-files';
import { CniError, codeOf, ErrorCode } from './errors.ts';
import { makeDirectories, nodeFs } from './files.ts';
import type { Owner } from './ipam/store.ts';

/**
 * What ADD did, kept for DEL: the delegate's configuration. Upstream names the file by the container alone, so that of two
 * interfaces of one container the second overwrites the first. We add the interface after a colon, which neither a
 * container ID nor an interface name may contain, and read upstream's name too (pods made before a change of plugin).
 *
 * Not synced to disk: after a power cut no container is left (ipam/store.ts), and DEL manages without (plugin.ts).
 */
export interface Scratch {
  readonly path: string;
  /** Undefined when the file is empty or damaged. */
  readonly conf: JsonObject | undefined;
}

/** ext4 and xfs: 255 bytes in a name. */
const MAX_NAME = 255;

export class ScratchFiles {
  constructor(
    private readonly dataDir: string,
    private readonly containerId: string,
    private readonly ifName: string,
  ) {}

  get path(): string {
    return `${this.dataDir}/${this.containerId}:${this.ifName}`;
  }

  get #upstreamPath(): string {
    return `${this.dataDir}/${this.containerId}`;
  }

  /** Whether this container may have been attached before. */
  exists(): boolean {
    return isPresent(this.path) || isPresent(this.#upstreamPath);
  }

  write(conf: JsonObject): void {
    if (Buffer.byteLength(this.containerId) + Buffer.byteLength(this.ifName) + 1 > MAX_NAME) {
      throw new CniError(
        ErrorCode.invalidEnvironment,
        `container ID of ${this.containerId.length} characters is too long to keep a file for it`,
        `${MAX_NAME - 16} characters are certain to fit`,
      );
    }
    const text = stringifyExactJson(conf);
    try {
      this.#writeText(text);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      makeDirectories(this.dataDir, 0o700);
      this.#writeText(text);
    }
  }

  #writeText(text: string): void {
    try {
      writeNewFile(this.path, text, 0o600);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      this.remove();
      writeNewFile(this.path, text, 0o600);
    }
  }

  /** What our own file holds. */
  readOwn(): JsonObject | undefined {
    const text = readIfPresent(this.path);
    return text === undefined ? undefined : readJsonObject(text);
  }

  /** Our file, else upstream's; undefined when there is neither. */
  read(): Scratch | undefined {
    for (const path of [this.path, this.#upstreamPath]) {
      const text = readIfPresent(path);
      if (text !== undefined) return { path, conf: readJsonObject(text) };
    }
    return undefined;
  }

  /** Removes the file that `read` found, or ours. */
  remove(path = this.path): void {
    try {
      unlinkFile(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readTextFile(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENAMETOOLONG' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Of all files that name container and interface, thus not of upstream's. */
export function scratchOwners(dataDir: string): Owner[] {
  try {
    return nodeFs()
      .readdirSync(dataDir)
      .flatMap((name) => {
        const colon = name.indexOf(':');
        return colon < 0 ? [] : { containerId: name.slice(0, colon), ifName: name.slice(colon + 1) };
      });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

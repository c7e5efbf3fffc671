import { closeSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { CniError, codeOf, ErrorCode } from './errors.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

/**
 * What ADD did, kept for DEL: the delegate's configuration. Upstream names the file by the container alone, so that of two
 * interfaces of one container the second overwrites the first. We add the interface after a colon, which neither a
 * container ID nor an interface name may contain, and read upstream's name too (pods made before a change of plugin).
 *
 * Not synced to disk: after a power failure no container is left, and DEL manages without (plugin.ts).
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
    const fd = this.#create();
    try {
      writeSync(fd, JSON.stringify(conf));
    } catch (error) {
      this.remove();
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  #create(): number {
    try {
      return openSync(this.path, 'w', 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      mkdirSync(this.dataDir, { recursive: true, mode: 0o700 });
      return openSync(this.path, 'w', 0o600);
    }
  }

  /** Our file, else upstream's; undefined when there is neither. */
  read(): Scratch | undefined {
    for (const path of [this.path, this.#upstreamPath]) {
      const text = readIfPresent(path);
      if (text !== undefined) return { path, conf: parse(text) };
    }
    return undefined;
  }

  /** Removes the file that `read` found, or ours. */
  remove(path = this.path): void {
    try {
      unlinkSync(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

function isPresent(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (codeOf(error) === 'ENAMETOOLONG') return false;
    throw error;
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENAMETOOLONG' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

function parse(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

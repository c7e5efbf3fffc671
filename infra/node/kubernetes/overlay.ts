/** The image of flanneld for the nodes of a cluster, as a build has it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InfraError } from '../../errors.ts';

/** Below the directory of a build. */
export const OVERLAY_BUILD = 'overlay';

export interface OverlayBuild {
  /** By which pods name it; another one for other content. */
  readonly name: string;
  /** Of the archive. */
  readonly sha256: string;
}

export interface OverlayArchive extends OverlayBuild {
  readonly source: string;
}

export function readOverlayBuild(build: string): OverlayArchive {
  const directory = join(build, OVERLAY_BUILD);
  const path = join(directory, 'manifest.json');
  try {
    const { name, sha256 } = JSON.parse(readFileSync(path, 'utf8')) as OverlayBuild;
    if (typeof name === 'string' && /^[0-9a-f]{64}$/.test(sha256)) {
      return { name, sha256, source: join(directory, 'image.tar') };
    }
  } catch (cause) {
    throw new InfraError('ARTIFACT_MISSING', `Cannot read ${path}: "npm run up -- --overlay daemonset" makes it`, {
      cause,
    });
  }
  throw new InfraError('ARTIFACT_MISSING', `${path} does not describe an image: "npm run up" makes it anew`);
}

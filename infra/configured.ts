/** Artifacts as the configuration names them. */
import { isAbsolute, join } from 'node:path';
import * as pulumi from '@pulumi/pulumi';
import { InfraError } from './errors.ts';
import { type Artifact, readArtifact } from './node/artifact.ts';
import { type KubernetesBuild, readKubernetesBuild } from './node/kubernetes/artifact.ts';
import { type OverlayArchive, readOverlayBuild } from './node/kubernetes/overlay.ts';

/** `make` is the command that makes one. Paths are relative to the program's directory, in which Pulumi and its providers run, for checkouts differ. */
export function readConfiguredArtifact(directory: string, make?: string): Artifact {
  return orRunError(() => readArtifact(fromProgram(directory), make));
}

export function readConfiguredKubernetes(directory: string): KubernetesBuild {
  return orRunError(() => readKubernetesBuild(fromProgram(directory)));
}

/** Of the same build as the artifact. */
export function readConfiguredOverlay(directory: string): OverlayArchive {
  return orRunError(() => readOverlayBuild(fromProgram(directory)));
}

function fromProgram(directory: string): string {
  return isAbsolute(directory) ? directory : join('..', directory);
}

/** What is wrong with the configuration is told without a stack trace. */
export function orRunError<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof InfraError ? new pulumi.RunError(error.message) : error;
  }
}

/**
 * The Pulumi program: settings -> environment -> outputs. The settings are checked before anything is made; the artifact
 * is the one that the same checkout has built if nothing else is set, so that infrastructure, daemon and plugin change together.
 */
import { isAbsolute, join } from 'node:path';
import * as pulumi from '@pulumi/pulumi';
import { readSettings } from './config.ts';
import { createEnvironment } from './environment.ts';
import { InfraError } from './errors.ts';
import { type Artifact, readArtifact } from './node/artifact.ts';

async function program(): Promise<object> {
  const settings = readSettings();
  return createEnvironment(settings, readConfiguredArtifact(settings.artifact));
}

/** Paths are relative to the program's directory, in which Pulumi and its providers run, for checkouts differ. */
function readConfiguredArtifact(directory: string): Artifact {
  try {
    return readArtifact(isAbsolute(directory) ? directory : join('..', directory));
  } catch (error) {
    throw error instanceof InfraError ? new pulumi.RunError(error.message) : error;
  }
}

export = program;

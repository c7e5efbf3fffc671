/**
 * The Pulumi program: settings -> environment -> outputs. The settings are checked before anything is made; the artifact
 * is the one that the same checkout has built, so that infrastructure, daemon and plugin change together.
 */
import { join } from 'node:path';
import * as pulumi from '@pulumi/pulumi';
import { readSettings } from './config.ts';
import { createEnvironment } from './environment.ts';
import { InfraError } from './errors.ts';
import { type Artifact, readArtifact } from './node/artifact.ts';

async function program(): Promise<object> {
  const settings = readSettings();
  return createEnvironment(settings, builtArtifact());
}

function builtArtifact(): Artifact {
  try {
    return readArtifact(join(__dirname, '../dist'));
  } catch (error) {
    throw error instanceof InfraError ? new pulumi.RunError(error.message) : error;
  }
}

export = program;

/**
 * The Pulumi program: settings -> environment -> outputs. The settings are checked before anything is made; the artifact
 * is the one that the same checkout has built if nothing else is set, so that infrastructure, daemon and plugin change together.
 */
import { readSettings } from './config.ts';
import { readConfiguredArtifact } from './configured.ts';
import { createEnvironment } from './environment.ts';

async function program(): Promise<object> {
  const settings = readSettings();
  return createEnvironment(settings, readConfiguredArtifact(settings.artifact));
}

export = program;

/** Which environments there are. */
import type { Artifact } from './node/artifact.ts';
import type { EnvironmentOutputs } from './outputs.ts';
import type { Settings } from './settings.ts';

/** Registers all resources. Each environment is loaded when asked for: a stack must not need what only another one needs. */
export async function createEnvironment(settings: Settings, artifact: Artifact): Promise<EnvironmentOutputs> {
  switch (settings.environment) {
    case 'local':
      return (await import('./local/environment.ts')).createLocalEnvironment(settings, artifact);
    case 'aws':
      return (await import('./aws/environment.ts')).createAwsEnvironment(settings, artifact);
  }
}

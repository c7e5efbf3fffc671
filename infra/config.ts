/** The settings of the stack that Pulumi runs. */
import * as pulumi from '@pulumi/pulumi';
import { orRunError } from './configured.ts';
import { parseSettings, type Settings, type SettingsSource } from './settings.ts';

/** The checked settings; one RunError, without a stack trace, if they are wrong. */
export function readSettings(): Settings {
  const config = new pulumi.Config();
  const source: SettingsSource = { get: (key) => config.get(key), keys: projectKeys(pulumi.runtime.allConfig()) };
  return orRunError(() => parseSettings(pulumi.getStack(), source));
}

/** Keys without the namespace of this project; those of other namespaces belong to providers. */
function projectKeys(all: Readonly<Record<string, string>>): string[] {
  const prefix = `${pulumi.getProject()}:`;
  return Object.keys(all).flatMap((key) => (key.startsWith(prefix) ? [key.slice(prefix.length)] : []));
}

/** `flanneld install-cni PLUGIN CONFIG`: puts the CNI plugin and its configuration where the node's container runtime looks for them. */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { writeFileAtomically } from '../atomic-file.ts';
import { messageOf } from '../errors.ts';
import type { CommandResult } from './result.ts';

export interface CniDirectories {
  readonly binDir: string;
  readonly confDir: string;
}

/** As flannel's manifests call them: whoever changes from one to the other has one configuration. */
export const CNI_PLUGIN_NAME = 'flannel';
/** By links of these names, the plugin takes the place of the CNI project's. */
const OTHER_NAMES = ['bridge', 'host-local', 'loopback', 'portmap', 'bandwidth'];
export const CNI_CONFIG_NAME = '10-flannel.conflist';

/** The plugin first: a runtime that finds the configuration calls it at once. A plugin that runs meanwhile keeps its old file. */
export function installCni(plugin: string, config: string, { binDir, confDir }: CniDirectories): CommandResult {
  try {
    mkdirSync(binDir, { recursive: true, mode: 0o755 });
    const temporary = path.join(binDir, `.${CNI_PLUGIN_NAME}.${process.pid}`);
    try {
      copyFileSync(plugin, temporary); // with its mode
      renameSync(temporary, path.join(binDir, CNI_PLUGIN_NAME));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    for (const name of OTHER_NAMES) linkIfAbsent(path.join(binDir, name));
    const file = path.join(confDir, CNI_CONFIG_NAME);
    const beside = path.join(confDir, `.${CNI_CONFIG_NAME}.${process.pid}`);
    writeFileAtomically(file, readFileSync(config, 'utf8'), { mode: 0o644, temporary: beside });
    return { exit: 0, output: `Installed ${path.join(binDir, CNI_PLUGIN_NAME)} and ${file}\n` };
  } catch (error) {
    return { exit: 1, output: '', sentence: `Cannot install the CNI plugin: ${messageOf(error)}` };
  }
}

/** A plugin that is there, whosever it is, stays. */
function linkIfAbsent(file: string): void {
  try {
    symlinkSync(CNI_PLUGIN_NAME, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

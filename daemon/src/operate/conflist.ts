/** The configuration by which container runtimes call the CNI plugin: written when the node can serve pods, and then left alone. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DEFAULT_SUBNET_FILE } from '@flannel-ts/flannel/defaults';
import type { Logger } from 'pino';
import { writeFileAtomically } from '../atomic-file.ts';
import { messageOf } from '../errors.ts';

/** 1.0.0, as containerd 1.6 refuses results of 1.1.0. */
const CNI_VERSION = '1.0.0';

/** What flannel's manifest has, but that our plugin maps ports and limits bandwidth by itself. */
export function renderConflist(subnetFile: string): string {
  const list = {
    cniVersion: CNI_VERSION,
    name: 'cbr0',
    plugins: [
      {
        type: 'flannel',
        ...(subnetFile !== DEFAULT_SUBNET_FILE && { subnetFile }),
        delegate: { hairpinMode: true, isDefaultGateway: true },
        capabilities: { portMappings: true, bandwidth: true },
      },
    ],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

/**
 * Runtimes notice a file that is renamed within its directory; one that is there already stays, whoever wrote it: a restart of flanneld
 * does not make a runtime read it again, and an operator's changes last.
 */
export function installConflist(file: string, subnetFile: string, log: Logger): void {
  const text = renderConflist(subnetFile);
  try {
    if (existsSync(file)) {
      if (readFileSync(file, 'utf8') !== text)
        log.info({ file }, 'The CNI configuration is not ours, and stays as it is');
      return;
    }
    const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`);
    writeFileAtomically(file, text, { mode: 0o644, temporary });
    log.info({ file }, 'Wrote the CNI configuration: container runtimes may start pods');
  } catch (error) {
    log.error(`Container runtimes do not find the CNI plugin: cannot write ${file}: ${messageOf(error)}`);
  }
}

/** Whether `flanneld cleanup` may remove it. */
export function isOwnConflist(file: string, subnetFile: string): boolean {
  try {
    return readFileSync(file, 'utf8') === renderConflist(subnetFile);
  } catch {
    return false;
  }
}

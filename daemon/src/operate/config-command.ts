/** `flanneld config check FILE`: a network config as a daemon would read it, before it is in etcd. */
import { readFileSync } from 'node:fs';
import { checkNetworkConfig } from '@flannel-ts/flannel/config-check';
import type { ConfigFault } from '@flannel-ts/flannel/errors';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Identity } from '../backend/backend.ts';
import { createBackend } from '../backend/registry.ts';
import { messageOf } from '../errors.ts';
import type { CommandResult } from './result.ts';
import { formatConfig, formatFaults, type Mtu } from './show/config-text.ts';

/** Of Ethernet, and of the machines of clouds. */
const COMMON_MTUS = [1500, 9001];

/** `file` may be `-`, standard input. */
export function checkConfigFile(file: string, width: number): CommandResult {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    return { exit: 1, output: '', sentence: `Cannot read the network config: ${messageOf(error)}` };
  }
  return checkConfigText(text, file === '-' ? 'standard input' : file, width);
}

export function checkConfigText(text: string, name: string, width: number): CommandResult {
  const { config, faults: found } = checkNetworkConfig(text);
  const { mtus, fault } = config === undefined ? { mtus: [] } : mtusOf(config);
  const faults = fault === undefined || found.some(({ key }) => key === fault.key) ? found : [...found, fault];
  const sections = [
    ...(config === undefined ? [] : [formatConfig(config, mtus, width)]),
    ...(faults.length === 0 ? [] : [formatFaults(faults, name, width)]),
  ];
  return { exit: faults.length === 0 ? 0 : 1, output: `${sections.join('\n\n')}\n` };
}

/** By the backend itself, which also refuses what does not fit. */
function mtusOf(config: NetworkConfig): { readonly mtus: readonly Mtu[]; readonly fault?: ConfigFault } {
  try {
    const backend = createBackend(config, NO_IDENTITY);
    const mtus = COMMON_MTUS.map((outside) => ({ outside, inside: backend.mtu({ ...SOME_INTERFACE, mtu: outside }) }));
    return { mtus: mtus.filter(({ inside }, index) => mtus.findIndex((each) => each.inside === inside) === index) };
  } catch (error) {
    return { mtus: [], fault: { key: 'Backend.Type', reason: messageOf(error) } };
  }
}

const SOME_INTERFACE = { name: 'eth0', index: 1, address: parseIp('0.0.0.0', 4), addresses: {} };

/** A backend asks for it once it serves. */
const NO_IDENTITY: Identity = {
  mac: () => {
    throw new Error('No MAC address is needed to check a config');
  },
  wireguardKey: () => {
    throw new Error('No key is needed to check a config');
  },
};

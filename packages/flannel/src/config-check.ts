/** All that is wrong with a network config, where parseNetworkConfig() stops at the first. */
import { FAMILIES } from '@flannel-ts/inet/family';
import { BACKEND_KEYS, isBackendType } from './backend-config.ts';
import { type ConfigFault, FlannelError } from './errors.ts';
import {
  field,
  isJsonObject,
  type JsonObject,
  type MutableJsonObject,
  newJsonObject,
  readJsonObject,
  removeField,
  setField,
} from './go-json.ts';
import { repeatedKeys } from './json-keys.ts';
import { NETWORK_CONFIG_KEYS, type NetworkConfig, parseNetworkConfig } from './network-config.ts';
import { EXAMPLES, POOL_KEYS } from './subnet-pool.ts';
import { suggestion } from './suggest.ts';

export interface ConfigCheck {
  /** As a daemon reads it; absent for a config that it refuses. */
  readonly config?: NetworkConfig;
  readonly faults: readonly ConfigFault[];
}

/**
 * By the daemon's own parser: what it finds fault with is put right, and the rest read again. A key that nothing reads is a fault, too,
 * though flannel and the daemon pass over it.
 */
export function checkNetworkConfig(json: string): ConfigCheck {
  const { config, fault } = attempt(json);
  const text = json.replace(/^\uFEFF/, '');
  const object = readJsonObject(text);
  const unread = [
    ...(text === json ? [] : [BYTE_ORDER_MARK]),
    ...(object === undefined ? [] : [...unreadKeys(object), ...repeatedKeys(text).map(repeated)]),
  ];
  if (fault === undefined) return { config, faults: unread };
  const faults = [fault];
  const rest = object && newJsonObject(object);
  while (rest !== undefined) {
    putRight(rest, faults.at(-1)!.key);
    const next = attempt(JSON.stringify(rest));
    if (next.fault === undefined || faults.some(({ key }) => key === next.fault.key)) break;
    faults.push(next.fault);
  }
  return { faults: [...unread, ...faults] };
}

const BYTE_ORDER_MARK: ConfigFault = {
  key: '',
  reason: 'it begins with a byte order mark, which flannel refuses, unlike flanneld: save it as UTF-8 without one',
};

function repeated(key: string): ConfigFault {
  return { key, reason: 'there is more than one of this key, of which the last one counts: remove the others' };
}

type Attempt =
  | { readonly config: NetworkConfig; readonly fault?: undefined }
  | { readonly config?: undefined; readonly fault: ConfigFault };

function attempt(json: string): Attempt {
  try {
    return { config: parseNetworkConfig(json) };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

function faultOf(error: unknown): ConfigFault {
  if (error instanceof FlannelError) return error.fault ?? { key: '', reason: error.message };
  throw error;
}

/** Without the value that is wrong, so that the others can be judged; what depends on it cannot, and goes with it. */
function putRight(config: MutableJsonObject, path: string): void {
  const [key, inner] = path.split('.', 2);
  const backend = field(config, 'Backend');
  const family = FAMILIES.find((each) => POOL_KEYS[each].network === key);
  if (inner !== undefined && inner !== 'Type' && isJsonObject(backend)) {
    const rest = newJsonObject(backend);
    removeField(rest, inner);
    setField(config, 'Backend', rest);
  } else if (family !== undefined) {
    for (const each of Object.values(POOL_KEYS[family])) removeField(config, each);
    setField(config, POOL_KEYS[family].network, EXAMPLES[family]);
  } else {
    removeField(config, key!);
    if (key === 'EnableIPv4' && field(config, 'Network') === undefined) setField(config, 'Network', EXAMPLES[4]);
  }
}

function unreadKeys(config: JsonObject): ConfigFault[] {
  const backend = field(config, 'Backend');
  if (!isJsonObject(backend)) return unreadOf(config, NETWORK_CONFIG_KEYS, '');
  const type = String(field(backend, 'Type')).toLowerCase();
  const inside = isBackendType(type) ? unreadOf(backend, BACKEND_KEYS[type], 'Backend.') : [];
  return [...unreadOf(config, NETWORK_CONFIG_KEYS, ''), ...inside];
}

function unreadOf(object: JsonObject, known: readonly string[], path: string): ConfigFault[] {
  const lowerCase = known.map((key) => key.toLowerCase());
  return Object.keys(object)
    .filter((key) => !lowerCase.includes(key.toLowerCase()))
    .map((key) => ({ key: `${path}${key}`, reason: `nothing reads this key: ${suggestion(key, known)}` }));
}

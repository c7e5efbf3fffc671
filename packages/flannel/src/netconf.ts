import { DEFAULT_CNI_DATA_DIR, DEFAULT_SUBNET_FILE } from './defaults.ts';
import { FlannelError } from './errors.ts';
import { FieldReader, field, type JsonObject, parseJsonObject } from './go-json.ts';

/** The configuration a runtime gives to the CNI plugin `flannel`. */
export interface NetConf {
  /** '' when absent; the CNI protocol then means 0.1.0. */
  readonly cniVersion: string;
  readonly name: string;
  readonly type: string;
  readonly subnetFile: string;
  readonly dataDir: string;
  /** What the user wants the delegate to have; we add to it. */
  readonly delegate: JsonObject;
  readonly ipam?: JsonObject;
  readonly runtimeConfig?: JsonObject;
  readonly prevResult?: JsonObject;
}

/** With flannel's defaults (flannel-io/cni-plugin flannel.go, loadFlannelNetConf). */
export function parseNetConf(json: string): NetConf {
  return netConfOf(parseJsonObject(json, (reason) => invalid(`the text is ${reason}`)));
}

/** The same from what is parsed already. */
export function netConfOf(object: JsonObject): NetConf {
  const fields = new FieldReader(object, invalid);
  const ipam = fields.nested('ipam');
  const runtimeConfig = fields.nested('runtimeConfig');
  const prevResult = fields.nested('prevResult');
  return {
    cniVersion: fields.string('cniVersion') ?? '',
    name: fields.string('name') ?? '',
    type: fields.string('type') ?? '',
    subnetFile: fields.string('subnetFile') || DEFAULT_SUBNET_FILE,
    dataDir: fields.string('dataDir') || DEFAULT_CNI_DATA_DIR,
    delegate: fields.nested('delegate') ?? {},
    ...(ipam && { ipam }),
    ...(runtimeConfig && { runtimeConfig }),
    ...(prevResult && { prevResult }),
  };
}

/** Upstream's sentences, which people search for. It checks at ADD only: what is on disk can always be deleted. */
export function checkDelegate(conf: NetConf): void {
  const type = field(conf.delegate, 'type');
  if (type !== undefined && typeof type !== 'string') {
    throw new FlannelError('INVALID_NETCONF', "'delegate' dictionary, if present, must have (string) 'type' field");
  }
  for (const key of ['name', 'ipam']) {
    if (field(conf.delegate, key) === undefined) continue;
    const message = `'delegate' dictionary must not have '${key}' field, it'll be set by flannel`;
    throw new FlannelError('INVALID_NETCONF', message);
  }
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_NETCONF', `failed to load netconf: ${message}`);
}

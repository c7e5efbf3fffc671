import { type Mac, parseMac } from '@flannel-ts/inet/mac';
import { FlannelError } from './errors.ts';
import { FieldReader, isJsonObject, shorten } from './go-json.ts';

/** What a vxlan node publishes in its lease. */
export interface VxlanData {
  readonly vni: number;
  readonly vtepMac: Mac;
}

/** The value for `backendData` or `backendV6Data`, with flannel's keys in flannel's order. */
export function formatVxlanData(data: VxlanData): object {
  return { VNI: data.vni, VtepMAC: data.vtepMac };
}

/** Leases written by flannel before VNI was added (2019) have the MAC address only: VNI is then 0, as in Go. */
export function parseVxlanData(value: unknown): VxlanData {
  if (!isJsonObject(value)) throw invalid(`it is ${shorten(value)}`);
  const fields = new FieldReader(value, invalid);
  const vtepMac = fields.parsed('VtepMAC', parseMac);
  if (vtepMac === undefined) throw invalid('it has no VtepMAC');
  return { vni: fields.integerWithin('VNI', 0, 0xff_ffff) ?? 0, vtepMac };
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_LEASE', `Invalid vxlan data in a lease: ${message}`);
}

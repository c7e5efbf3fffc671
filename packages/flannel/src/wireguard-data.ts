import { type Port, parsePort } from '@flannel-ts/inet/port';
import { FlannelError } from './errors.ts';
import { FieldReader, isJsonObject, shorten } from './go-json.ts';

/** What a wireguard node publishes in its lease (flannel backend/wireguard/wireguard_network.go, wireguardLeaseAttrs). */
export interface WireguardData {
  /** 32 bytes in Base64. */
  readonly publicKey: string;
  /** Where it receives; absent: nodes of older versions say nothing, and receive at the port of the network config. */
  readonly port?: Port;
}

/** wgtypes.Key: 32 bytes in Base64, so that the last digit stands for 4 bits. */
export const WIREGUARD_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** The value for `backendData` or `backendV6Data`, with flannel's keys in flannel's order. */
export function formatWireguardData({ publicKey, port }: Required<WireguardData>): object {
  return { PublicKey: publicKey, Port: port };
}

export function parseWireguardData(value: unknown): WireguardData {
  if (!isJsonObject(value)) throw invalid(`it is ${shorten(value)}`);
  const fields = new FieldReader(value, invalid);
  const publicKey = fields.string('PublicKey');
  if (publicKey === undefined || !WIREGUARD_KEY.test(publicKey))
    throw invalid('it has no PublicKey of 32 bytes in Base64');
  const port = fields.integerWithin('Port', 0, 65_535);
  return { publicKey, ...(port && { port: parsePort(port) }) };
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_LEASE', `Invalid wireguard data in a lease: ${message}`);
}

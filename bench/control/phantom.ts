/** Peers that exist in etcd only, of each backend, and where in their packets the inner destination stands. */
import { type Entry, PREFIX } from './etcd.ts';

export type Backend = 'udp' | 'vxlan';

export interface Phantom {
  readonly number: number;
  /** An address in its subnet. */
  readonly inside: string;
  readonly publicAddress: string;
}

/** Of all public addresses. */
export const PHANTOMS = '100.64.0.0/10';

interface Encapsulation {
  readonly port: number;
  /** Of the inner packet in the payload of UDP. */
  readonly offset: number;
}

export const ENCAPSULATIONS: Record<Backend, Encapsulation> = {
  udp: { port: 8285, offset: 0 },
  // RFC 7348: eight bytes, then an Ethernet frame.
  vxlan: { port: 8472, offset: 8 + 14 },
};

/** A network with room for 8,191 subnets. */
export function largeNetwork(backend: Backend): object {
  return { Network: '10.128.0.0/11', SubnetLen: 24, Backend: { Type: backend } };
}

/** From the top of the network, so that nodes find room. */
export function phantom(number: number): Phantom {
  const index = 8191 - number;
  return {
    number,
    inside: `10.${128 + (index >> 8)}.${index & 255}.1`,
    publicAddress: `100.64.${number >> 8}.${number & 255}`,
  };
}

export function leaseOf(backend: Backend, { number, inside, publicAddress }: Phantom): Entry {
  const key = `${PREFIX}/subnets/${inside.replace(/\.1$/, '.0')}-24`;
  const addresses = `"PublicIP":"${publicAddress}","PublicIPv6":null`;
  if (backend === 'udp') return { key, value: `{${addresses}}` };
  const mac = `02:00:00:00:${[number >> 8, number & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
  return { key, value: `{${addresses},"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}` };
}

/** Addresses as texts of others: files, configurations and results that may hold anything. */
import { addressBits } from '@flannel-ts/inet/family';
import { familyOf, type Ip, isIpText, parseIp } from '@flannel-ts/inet/ip';
import type { InterfaceAddress } from '@flannel-ts/inet/prefix';

/** Undefined for what is no address. */
export function readIp(text: string): Ip | undefined {
  return isIpText(text) ? parseIp(text) : undefined;
}

/** `ADDRESS/LENGTH` as written, host bits kept; undefined for anything else. Leading zeros of the length are Go's. */
export function readInterfaceAddress(text: string): InterfaceAddress | undefined {
  const slash = text.indexOf('/');
  if (slash < 0 || !/^\d{1,3}$/.test(text.slice(slash + 1))) return undefined;
  const address = readIp(text.slice(0, slash));
  const length = Number(text.slice(slash + 1));
  if (address === undefined || length > addressBits(familyOf(address))) return undefined;
  return { address, length } as InterfaceAddress;
}

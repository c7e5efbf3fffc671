import { lookup } from 'node:dns/promises';
import { type Ip, isIpText, parseIp } from '@flannel-ts/inet/ip';

/** The addresses of the hosts of URLs like https://etcd.example:2379; of a name that is not known now, none. */
export async function resolveHosts(urls: readonly string[]): Promise<Ip[]> {
  const addresses = await Promise.all(urls.map((url) => resolveHost(hostOf(url))));
  return [...new Set(addresses.flat())];
}

async function resolveHost(host: string): Promise<Ip[]> {
  if (host === '') return [];
  if (isIpText(host)) return [parseIp(host)];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => parseIp(address));
  } catch {
    return [];
  }
}

/** Empty for what is no URL. */
function hostOf(url: string): string {
  try {
    return new URL(url.includes('://') ? url : `http://${url}`).hostname.replace(/^\[(.*)\]$/, '$1');
  } catch {
    return '';
  }
}

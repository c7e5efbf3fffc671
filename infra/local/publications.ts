/** Which ports of this machine lead where in a cluster, as the settings name them. Pure. */
import { parseIp } from '@flannel-ts/inet/ip';
import { InfraError } from '../errors.ts';

export type Protocol = 'tcp' | 'udp';

export type PublishedTarget =
  | { readonly nodePort: number }
  | { readonly namespace: string; readonly service: string; readonly port: number };

export interface Publication {
  /** Of this machine. */
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly target: PublishedTarget;
}

/** Nobody else reaches it, unless that is asked for. */
const DEFAULT_ADDRESS = '127.0.0.1';
export const PUBLICATION_PATTERN =
  '^((\\d{1,3}\\.){3}\\d{1,3}:)?\\d{1,5}:(([a-z0-9-]+/)?[a-z][a-z0-9-]*:)?\\d{1,5}(/(tcp|udp))?$';

/** `[ADDRESS:]PORT:NODEPORT[/udp]` or `[ADDRESS:]PORT:[NAMESPACE/]SERVICE:PORT[/udp]`. */
export function parsePublication(text: string): Publication {
  const match = new RegExp(PUBLICATION_PATTERN).test(text)
    ? /^(?:([\d.]+):)?(\d+):(?:(?:([a-z0-9-]+)\/)?([a-z][a-z0-9-]*):)?(\d+)(?:\/(\w+))?$/.exec(text)
    : null;
  if (match === null) {
    throw refusal(text, 'use PORT:NODEPORT or PORT:NAMESPACE/SERVICE:PORT, like 8080:30080 or 8080:default/web:80');
  }
  const [, address = DEFAULT_ADDRESS, own, namespace = 'default', service, other, protocol = 'tcp'] = match;
  parseIp(address, 4);
  const port = portOf(text, own!);
  const target = portOf(text, other!);
  return {
    ...{ address, port, protocol: protocol as Protocol },
    target: service === undefined ? { nodePort: target } : { namespace, service, port: target },
  };
}

/** All of them; one port leads to one place. */
export function parsePublications(texts: readonly string[]): Publication[] {
  const publications = texts.map(parsePublication);
  publications.forEach((each, i) => {
    const other = publications.findIndex((one) => meet(one, each));
    if (other < i) throw refusal(texts[i]!, `${texts[other]} takes that port already`);
  });
  return publications;
}

/** Names it among those of a stack: what is published by one port may change. */
export function publicationName({ address, port, protocol }: Publication): string {
  return `${protocol}-${address.replaceAll('.', '-')}-${port}`;
}

function meet(one: Publication, other: Publication): boolean {
  const everywhere = [one, other].some(({ address }) => address === '0.0.0.0');
  return one.port === other.port && one.protocol === other.protocol && (everywhere || one.address === other.address);
}

function portOf(text: string, digits: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65535) throw refusal(text, `${digits} is no port`);
  return port;
}

function refusal(text: string, why: string): InfraError {
  return new InfraError('INVALID_CONFIG', `"${text}": ${why}`);
}

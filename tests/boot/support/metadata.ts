/**
 * STAND-IN for EC2's instance metadata service, version 2: a token by PUT first, then paths by GET. One per machine, at the
 * link-local address of the real one.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

export const METADATA_ADDRESS = '169.254.169.254';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly token: string;
}

export interface Instance {
  readonly id: string;
  readonly address: string;
  readonly mac: string;
  readonly region: string;
  readonly zone: string;
  readonly role: string;
  readonly credentials: Credentials;
  readonly userData: string;
  /** If it is in a group: where the group wants it to get to. */
  readonly group?: { readonly name: string; readonly target: 'InService' | 'Terminated' };
}

interface Tree {
  readonly [name: string]: string | Tree;
}

/** `instance` is asked at every request. */
export function metadataService(instance: () => Instance): RequestListener {
  const tokens = new Set<string>();
  return (request, response) => {
    const path = new URL(request.url ?? '/', 'http://metadata').pathname;
    if (request.method === 'PUT' && path === '/latest/api/token') grantToken(tokens, request, response);
    else if (!tokens.has(String(request.headers['x-aws-ec2-metadata-token']))) answer(response, 401);
    else {
      const found = lookUp(treeOf(instance()), path);
      answer(response, found === undefined ? 404 : 200, found);
    }
  };
}

function grantToken(tokens: Set<string>, { headers }: IncomingMessage, response: ServerResponse): void {
  const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
  // The service refuses what came through a proxy.
  const isValid = seconds >= 1 && seconds <= 21600 && headers['x-forwarded-for'] === undefined;
  const token = randomBytes(24).toString('base64');
  if (isValid) tokens.add(token);
  if (isValid) answer(response, 200, token, { 'x-aws-ec2-metadata-token-ttl-seconds': String(seconds) });
  else answer(response, 400);
}

/** A file's content, or the names in a directory; any version is the same. */
function lookUp(tree: Tree, path: string): string | undefined {
  const [, ...names] = path.split('/').filter((name) => name !== '');
  let found: string | Tree | undefined = tree;
  for (const name of names) {
    if (typeof found !== 'object') return undefined;
    found = found[name];
  }
  if (typeof found !== 'object') return found;
  const list = Object.entries(found);
  return list.map(([name, below]) => (typeof below === 'object' ? `${name}/` : name)).join('\n');
}

function treeOf({ id, address, mac, region, zone, role, credentials, userData, group }: Instance): Tree {
  const hostname = `ip-${address.replaceAll('.', '-')}.${region}.compute.internal`;
  const now = Date.now();
  const iso = (ms: number) => new Date(ms).toISOString().replace(/\.\d+/, '');
  return {
    'user-data': userData,
    'meta-data': {
      'ami-id': 'ami-0000000000000000f',
      hostname,
      'instance-id': id,
      'instance-type': 't3.small',
      'local-hostname': hostname,
      'local-ipv4': address,
      mac,
      network: {
        interfaces: {
          macs: { [mac]: { 'device-number': '0', 'local-hostname': hostname, 'local-ipv4s': address, mac } },
        },
      },
      ...(group !== undefined && {
        autoscaling: { 'target-lifecycle-state': group.target },
        tags: { instance: { 'aws:autoscaling:groupName': group.name } },
      }),
      placement: { 'availability-zone': zone, region },
      iam: {
        info: JSON.stringify({
          Code: 'Success',
          InstanceProfileArn: `arn:aws:iam::000000000000:instance-profile/${role}`,
        }),
        'security-credentials': {
          [role]: JSON.stringify({
            Code: 'Success',
            Type: 'AWS-HMAC',
            AccessKeyId: credentials.accessKeyId,
            SecretAccessKey: credentials.secretAccessKey,
            Token: credentials.token,
            LastUpdated: iso(now),
            Expiration: iso(now + 6 * 3600_000),
          }),
        },
      },
    },
    dynamic: {
      'instance-identity': {
        document: JSON.stringify({
          instanceId: id,
          region,
          availabilityZone: zone,
          privateIp: address,
          accountId: '000000000000',
        }),
      },
    },
  };
}

function answer(response: ServerResponse, status: number, text = '', headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(text);
}

/**
 * The address and the credentials of the API server: from a kubeconfig, or what Kubernetes gives a pod. Files are read again for each
 * request: kubelet replaces a pod's token every hour, and its own certificate before it ends.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse as parseYaml } from 'yaml';
import { DaemonError, messageOf } from '../../errors.ts';
import type { KubeOptions } from './settings.ts';

/** Options of node:tls. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Access {
  readonly server: URL;
  /** Throws when a file cannot be read. */
  tls(): TlsMaterial;
  /** The value of the header Authorization. */
  authorization(): string | undefined;
}

/** Of every pod (Kubernetes: service account admission controller). */
const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

export function openAccess(
  { apiUrl, kubeconfigFile, service }: Pick<KubeOptions, 'apiUrl' | 'kubeconfigFile' | 'service'>,
  serviceAccountDir = SERVICE_ACCOUNT_DIR,
): Access {
  if (kubeconfigFile !== undefined) return fromKubeconfig(kubeconfigFile, apiUrl);
  if (apiUrl !== undefined) return { server: serverUrl(apiUrl), tls: () => ({}), authorization: () => undefined };
  if (service === undefined) {
    throw new DaemonError(
      'USAGE',
      'There is no API server to take the subnet from: set -kubeconfig-file or -kube-api-url, or run flanneld in a pod (which has KUBERNETES_SERVICE_HOST)',
    );
  }
  const { host, port } = service;
  return {
    server: serverUrl(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    tls: () => ({ ca: readText(path.join(serviceAccountDir, 'ca.crt')) }),
    authorization: () => `Bearer ${readText(path.join(serviceAccountDir, 'token')).trim()}`,
  };
}

interface Named {
  readonly name?: unknown;
}
type Fields = Readonly<Record<string, unknown>>;

/** client-go's rules (tools/clientcmd/api/v1/types.go), for what a daemon needs. */
export function fromKubeconfig(file: string, apiUrl?: string, text = readText(file)): Access {
  const where = `the kubeconfig ${file}`;
  const config = readConfig(text, where);
  const context = chosen(config, 'contexts', config['current-context'], 'context', `current-context of ${where}`);
  const cluster = chosen(config, 'clusters', context.cluster, 'cluster', `the context of ${where}`);
  const user = context.user ? chosen(config, 'users', context.user, 'user', `the context of ${where}`) : {};
  for (const kind of ['exec', 'auth-provider']) {
    if (user[kind] !== undefined) {
      throw new DaemonError(
        'USAGE',
        `The user of ${where} gets its credentials from a program (${kind}), which a daemon does not run: use a token, a token file or a client certificate`,
      );
    }
  }
  const server = apiUrl ?? textOf(cluster.server);
  if (server === undefined) throw new DaemonError('USAGE', `The cluster of ${where} has no server`);
  const relativeTo = path.dirname(file);
  const material = (fields: Fields, name: string): (() => string | undefined) => {
    const data = textOf(fields[`${name}-data`]);
    if (data !== undefined) return () => Buffer.from(data, 'base64').toString('utf8');
    const from = textOf(fields[name]);
    return () => (from === undefined ? undefined : readText(path.resolve(relativeTo, from)));
  };
  const [ca, cert, key] = [
    material(cluster, 'certificate-authority'),
    material(user, 'client-certificate'),
    material(user, 'client-key'),
  ];
  const servername = textOf(cluster['tls-server-name']);
  const isInsecure = cluster['insecure-skip-tls-verify'] === true;
  return {
    server: serverUrl(server),
    tls: () =>
      present({
        ca: ca(),
        cert: cert(),
        key: key(),
        servername,
        rejectUnauthorized: isInsecure ? false : undefined,
      }),
    authorization: () => authorizationOf(user, relativeTo),
  };
}

function authorizationOf(user: Fields, relativeTo: string): string | undefined {
  const tokenFile = textOf(user.tokenFile);
  const token = tokenFile === undefined ? textOf(user.token) : readText(path.resolve(relativeTo, tokenFile)).trim();
  if (token !== undefined) return `Bearer ${token}`;
  const name = textOf(user.username);
  if (name === undefined) return undefined;
  return `Basic ${Buffer.from(`${name}:${textOf(user.password) ?? ''}`).toString('base64')}`;
}

function readConfig(text: string, where: string): Fields {
  let value: unknown;
  try {
    value = text.trimStart().startsWith('{') ? JSON.parse(text) : parseYaml(text);
  } catch {
    throw new DaemonError('USAGE', `Cannot read ${where}: it is neither YAML nor JSON`); // an error of a parser may quote secrets
  }
  if (typeof value !== 'object' || value === null) throw new DaemonError('USAGE', `There is nothing in ${where}`);
  return value as Fields;
}

function chosen(config: Fields, list: string, name: unknown, kind: string, by: string): Fields {
  const entries = Array.isArray(config[list]) ? (config[list] as (Named & Fields)[]) : [];
  const found = entries.find((entry) => entry.name === name)?.[kind];
  if (typeof found !== 'object' || found === null) {
    throw new DaemonError('USAGE', `The ${kind} ${JSON.stringify(name)} that ${by} names is not there`);
  }
  return found as Fields;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function present(material: { readonly [K in keyof TlsMaterial]: TlsMaterial[K] | undefined }): TlsMaterial {
  return Object.fromEntries(Object.entries(material).filter(([, value]) => value !== undefined));
}

function serverUrl(text: string): URL {
  try {
    const url = new URL(text.includes('://') ? text : `http://${text}`);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {}
  throw new DaemonError(
    'USAGE',
    `Invalid URL of the API server ${JSON.stringify(text)}: write it like https://10.0.0.1:6443`,
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new DaemonError('KUBERNETES', `Cannot read ${file}: ${messageOf(error)}`);
  }
}

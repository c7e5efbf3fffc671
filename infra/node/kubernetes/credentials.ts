/** Certificates and the kubeconfigs that name them. */
import type { KeyPair } from '../files.ts';
import { type BootFile, tlsFiles } from '../files.ts';
import { jsonFile } from '../machine-plan.ts';
import { kubeconfigFile, tlsDirectory } from './settings.ts';

/** Who calls the API server. The names are those that Kubernetes' own roles are bound to. */
export const IDENTITIES = {
  admin: { commonName: 'kubernetes-admin', organization: 'system:masters' },
  apiserver: { commonName: 'kube-apiserver-kubelet-client', organization: 'system:masters' },
  controllerManager: { commonName: 'system:kube-controller-manager' },
  scheduler: { commonName: 'system:kube-scheduler' },
  proxy: { commonName: 'system:kube-proxy' },
} as const;

export function nodeIdentity(node: string) {
  return { commonName: `system:node:${node}`, organization: 'system:nodes' };
}

/** Key pairs of one user of a machine, by purpose, and the authority they are checked by. */
export function credentialFiles(
  root: string,
  user: string,
  ca: string,
  pairs: Readonly<Record<string, KeyPair>>,
): BootFile[] {
  return tlsFiles(tlsDirectory(root, user), ca, pairs);
}

export function credentialPaths(
  root: string,
  user: string,
  purpose: string,
): { cert: string; key: string; ca: string } {
  const directory = tlsDirectory(root, user);
  return { cert: `${directory}/${purpose}.crt`, key: `${directory}/${purpose}.key`, ca: `${directory}/ca.crt` };
}

/** Names its key pair by path, so that it is no secret itself. */
export function kubeconfigOf(root: string, user: string, server: string): BootFile {
  const { cert, key, ca } = credentialPaths(root, user, 'client');
  return jsonFile(
    kubeconfigFile(root, user),
    kubeconfig(user, { server, 'certificate-authority': ca }, { 'client-certificate': cert, 'client-key': key }),
  );
}

/** Of the cluster, the user and the context of a stack, among those of other clusters. */
export function kubeconfigName(stack: string): string {
  return `flannel-${stack}`;
}

/** For people: complete in itself, and secret. */
export function standaloneKubeconfig(name: string, server: string, ca: string, pair: KeyPair): string {
  const encoded = (text: string) => Buffer.from(text).toString('base64');
  const config = kubeconfig(
    name,
    { server, 'certificate-authority-data': encoded(ca) },
    { 'client-certificate-data': encoded(pair.certificate), 'client-key-data': encoded(pair.key) },
  );
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function kubeconfig(name: string, cluster: object, user: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
}

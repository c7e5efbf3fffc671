/** What all parts of a cluster have to agree on, and where a machine keeps it. */

import { formatIp } from '@flannel-ts/inet/ip';
import { addressAt, formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';

export const API_PORT = 6443;
export const CLUSTER_DOMAIN = 'cluster.local';

/** Where a machine has its things. */
export interface Place {
  /** Where its file system begins; empty on a machine of its own. */
  readonly root: string;
  /** Directory of Kubernetes' programs. */
  readonly bin: string;
}

export interface ServiceNetwork {
  readonly cidr: string;
  /** Of the service "kubernetes": the first address, by kube-apiserver's rule. */
  readonly api: string;
  /** Of the service "kube-dns": the tenth, by custom. */
  readonly dns: string;
}

export function serviceNetwork(services: Prefix<4>): ServiceNetwork {
  return {
    cidr: formatPrefix(services),
    api: formatIp(addressAt(services, 1)),
    dns: formatIp(addressAt(services, 10)),
  };
}

export function kubernetesDirectory(root: string): string {
  return `${root}/etc/kubernetes`;
}

/** Files of a key pair: `client` of kubelet is etc/kubernetes/tls/kubelet/client.crt and .key. */
export function tlsDirectory(root: string, user: string): string {
  return `${kubernetesDirectory(root)}/tls/${user}`;
}

export function kubeconfigFile(root: string, user: string): string {
  return `${kubernetesDirectory(root)}/${user}.kubeconfig`;
}

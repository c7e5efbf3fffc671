/** How to reach the API server, and which Node object is this node's. */
export interface KubeOptions {
  /** Wins over the server of the kubeconfig. */
  readonly apiUrl?: string;
  /** Without it and a URL: what Kubernetes gives a pod. */
  readonly kubeconfigFile?: string;
  readonly annotationPrefix: string;
  readonly netConfigPath: string;
  readonly nodeName?: string;
  /** Where there is no node name: the pod that this is, which knows its node. */
  readonly pod?: { readonly name: string; readonly namespace: string };
  /** Whether to write the condition NetworkUnavailable. */
  readonly setNetworkUnavailable: boolean;
  /** host and port of the API server as Kubernetes tells pods. */
  readonly service?: { readonly host: string; readonly port: string };
}

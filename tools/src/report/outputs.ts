/** A stack's outputs, as far as the commands show them; the whole is described in docs. */
export interface Outputs {
  readonly network: Network;
  readonly nodes: readonly NodeOutput[];
  readonly etcdEndpoints: readonly string[];
  readonly artifact: { readonly version: string; readonly sha256: string };
  readonly pods: readonly PodOutput[];
}

export interface Network {
  readonly vpcCidr: string;
  readonly podCidr: string;
  readonly subnetLength: number;
  readonly backend: { readonly Type?: string };
}

export interface NodeOutput {
  readonly name: string;
  readonly address: string;
  readonly podSubnet?: string;
}

export interface PodOutput {
  readonly name: string;
  readonly node: string;
  readonly address: string;
  /** Path of its network namespace, as nsenter(1) takes it. */
  readonly netns: string;
}

/** Undefined if the stack has none yet, as after an `up` that failed. */
export function asOutputs(value: unknown): Outputs | undefined {
  const outputs = value as Partial<Outputs> | undefined;
  if (!Array.isArray(outputs?.nodes) || outputs.network === undefined) return undefined;
  return { ...(outputs as Outputs), pods: outputs.pods ?? [], etcdEndpoints: outputs.etcdEndpoints ?? [] };
}

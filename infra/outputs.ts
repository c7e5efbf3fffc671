/** What every environment offers. */
import type * as pulumi from '@pulumi/pulumi';

/** The stack's outputs: what other programs and people rely on. */
export interface EnvironmentOutputs {
  readonly network: {
    readonly vpcCidr: string;
    readonly podCidr: string;
    readonly subnetLength: number;
    readonly backend: unknown;
  };
  readonly nodes: readonly {
    readonly name: string;
    /** An Output where a group of machines makes the nodes, and they take addresses by themselves. */
    readonly address: string | pulumi.Output<string>;
    /** Of the local environment; elsewhere etcd knows. */
    readonly podSubnet?: pulumi.Output<string>;
  }[];
  readonly etcdEndpoints: readonly string[];
  readonly artifact: { readonly version: string; readonly sha256: string };
  /** Secret. */
  readonly etcdClient: pulumi.Output<{ readonly ca: string; readonly cert: string; readonly key: string }>;
  /** Of a stack with Kubernetes. Secret. */
  readonly kubeconfig?: pulumi.Output<string>;
  /** Of the local environment. */
  readonly pods?: readonly {
    readonly name: string;
    readonly node: string;
    readonly address: pulumi.Output<string>;
    readonly netns: pulumi.Output<string>;
  }[];
}

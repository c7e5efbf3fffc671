/** What every environment offers, and which ones there are. */
import type * as pulumi from '@pulumi/pulumi';
import type { Artifact } from './node/artifact.ts';
import type { Settings } from './settings.ts';

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
  /** Of the local environment. */
  readonly pods?: readonly {
    readonly name: string;
    readonly node: string;
    readonly address: pulumi.Output<string>;
    readonly netns: pulumi.Output<string>;
  }[];
}

/** Registers all resources of an environment. */
export type CreateEnvironment<S extends Settings> = (settings: S, artifact: Artifact) => EnvironmentOutputs;

/** Loaded when asked for: a stack must not need what only another environment needs. */
export async function createEnvironment(settings: Settings, artifact: Artifact): Promise<EnvironmentOutputs> {
  switch (settings.environment) {
    case 'local':
      return (await import('./local/environment.ts')).createLocalEnvironment(settings, artifact);
    case 'aws':
      return (await import('./aws/environment.ts')).createAwsEnvironment(settings, artifact);
  }
}

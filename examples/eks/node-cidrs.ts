/**
 * Who gives nodes their part of the pod network. EKS runs kube-controller-manager without --allocate-node-cidrs, for Amazon's CNI has no
 * use for it, and flanneld would wait for podCIDRs for ever. This is that one controller of kube-controller-manager, in the cluster. Pure.
 */
import type { KubernetesObject } from '@flannel-ts/infra/kubernetes/objects';

export interface NodeCidrSettings {
  readonly podCidr: string;
  readonly maskSize: number;
  /** kube-controller-manager's, of the cluster's version. */
  readonly image: string;
}

const NAME = 'node-cidrs';
const NAMESPACE = 'kube-system';
const PORT = 10257;

export const NODE_CIDR_RULES = [
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch', 'update', 'patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'get', 'update'] },
];

export function nodeCidrFlags({ podCidr, maskSize }: Omit<NodeCidrSettings, 'image'>): string[] {
  return [
    '--controllers=node-ipam-controller',
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${podCidr}`,
    `--node-cidr-mask-size=${maskSize}`,
    `--leader-elect-resource-name=${NAME}`,
    '--bind-address=127.0.0.1',
    // Nobody asks it anything but whether it is well.
    '--authentication-skip-lookup=true',
  ];
}

export function nodeCidrObjects(settings: NodeCidrSettings): readonly KubernetesObject[] {
  const labels = { app: NAME };
  const metadata = { name: NAME, namespace: NAMESPACE };
  const role = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: NAME };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: NAME },
      rules: NODE_CIDR_RULES,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: NAME },
      roleRef: role,
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      // It is there before the first node: nobody waits until it runs.
      metadata: { ...metadata, annotations: { 'pulumi.com/skipAwait': 'true' } },
      spec: {
        replicas: 2, // one works, the other waits for its lease
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: NAME,
            priorityClassName: 'system-cluster-critical',
            // Nodes become ready by it, so it runs on one that is not, and without a network of pods.
            hostNetwork: true,
            tolerations: [{ operator: 'Exists', effect: 'NoSchedule' }],
            securityContext: { runAsNonRoot: true, runAsUser: 65534, seccompProfile: { type: 'RuntimeDefault' } },
            containers: [
              {
                name: NAME,
                image: settings.image,
                command: ['kube-controller-manager', ...nodeCidrFlags(settings)],
                resources: { requests: { cpu: '20m', memory: '64Mi' } },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'] },
                },
                livenessProbe: {
                  httpGet: { scheme: 'HTTPS', host: '127.0.0.1', port: PORT, path: '/healthz' },
                  periodSeconds: 10,
                  failureThreshold: 6,
                },
              },
            ],
          },
        },
      },
    },
  ];
}

/** kubelet and kube-proxy: what makes a machine a node of a cluster. */
import { jsonFile, type MachinePlan, part, textFile } from '../machine-plan.ts';
import { CONTAINERD_SOCKET } from './containerd.ts';
import { credentialPaths, kubeconfigOf } from './credentials.ts';
import { CLUSTER_DOMAIN, kubeconfigFile, kubernetesDirectory, type Place } from './settings.ts';

export interface KubeletPart extends Place {
  readonly node: string;
  readonly address: string;
  /** URL of the API server. */
  readonly server: string;
  readonly clusterDns: string;
  /** Parent of all pods' control groups: "/flannel.dev.node-0". */
  readonly cgroup: string;
  readonly labels: Readonly<Record<string, string>>;
  /** From the node's first moment. */
  readonly taints?: readonly string[];
}

export function kubeletPart(kubelet: KubeletPart): MachinePlan {
  const { root, bin, node, address, server, clusterDns, cgroup, labels, taints = [] } = kubelet;
  const config = `${kubernetesDirectory(root)}/kubelet.json`;
  const resolv = `${kubernetesDirectory(root)}/resolv.conf`;
  const serving = credentialPaths(root, 'kubelet', 'server');
  const client = credentialPaths(root, 'kubelet', 'client');
  return part(
    [
      jsonFile(config, {
        apiVersion: 'kubelet.config.k8s.io/v1beta1',
        kind: 'KubeletConfiguration',
        tlsCertFile: serving.cert,
        tlsPrivateKeyFile: serving.key,
        authentication: {
          anonymous: { enabled: false },
          webhook: { enabled: true },
          x509: { clientCAFile: serving.ca },
        },
        authorization: { mode: 'Webhook' },
        containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
        cgroupDriver: 'cgroupfs',
        // Nothing is reserved for the machine, which shares its processors and memory with this host.
        cgroupsPerQOS: false,
        cgroupRoot: cgroup,
        enforceNodeAllocatable: [],
        failSwapOn: false,
        oomScoreAdj: 0,
        // The disk is the host's, and is not measured anew for each of its machines.
        localStorageCapacityIsolation: false,
        evictionHard: { 'memory.available': '1Mi', 'nodefs.available': '0%', 'imagefs.available': '0%' },
        clusterDNS: [clusterDns],
        clusterDomain: CLUSTER_DOMAIN,
        resolvConf: resolv,
        volumePluginDir: '/var/lib/kubelet/volumeplugins',
        maxPods: 200,
        kubeAPIQPS: 100,
        kubeAPIBurst: 200,
      }),
      // Nobody answers outside of the stack.
      textFile(resolv, ''),
      kubeconfigOf(root, 'kubelet', server),
    ],
    {
      name: 'kubelet',
      description: "kubelet, which starts the node's pods",
      command: [
        `${bin}/kubelet`,
        `--config=${config}`,
        `--kubeconfig=${kubeconfigFile(root, 'kubelet')}`,
        '--root-dir=/var/lib/kubelet',
        `--hostname-override=${node}`,
        `--node-ip=${address}`,
        `--node-labels=${Object.entries(labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(',')}`,
        ...(taints.length > 0 ? [`--register-with-taints=${taints.join(',')}`] : []),
      ],
      environmentFiles: [],
      directories: [`${root}/var/lib/kubelet`, `${root}/var/log`],
      readyUrl: 'http://127.0.0.1:10248/healthz',
      log: `${root}/var/log/kubelet.log`,
      stopSeconds: 10,
      after: ['containerd'],
    },
    [serving.cert, client.cert],
  );
}

export type ProxyMode = 'nftables' | 'iptables';

export interface KubeProxyPart extends Place {
  readonly node: string;
  readonly server: string;
  readonly podCidr: string;
  readonly mode: ProxyMode;
}

export function kubeProxyPart({ root, bin, node, server, podCidr, mode }: KubeProxyPart): MachinePlan {
  const config = `${kubernetesDirectory(root)}/kube-proxy.json`;
  return part(
    [
      jsonFile(config, {
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        kind: 'KubeProxyConfiguration',
        mode,
        clientConnection: { kubeconfig: kubeconfigFile(root, 'kube-proxy') },
        clusterCIDR: podCidr,
        hostnameOverride: node,
        healthzBindAddress: '127.0.0.1:10256',
        metricsBindAddress: '127.0.0.1:10249',
        // The size of the table is the host's.
        conntrack: { maxPerCore: 0, min: 0 },
      }),
      kubeconfigOf(root, 'kube-proxy', server),
    ],
    {
      name: 'kube-proxy',
      description: 'kube-proxy, which leads packets to services',
      command: [`${bin}/kube-proxy`, `--config=${config}`],
      environmentFiles: [],
      directories: [`${root}/var/log`],
      readyUrl: 'http://127.0.0.1:10256/healthz',
      log: `${root}/var/log/kube-proxy.log`,
      stopSeconds: 5,
    },
    [credentialPaths(root, 'kube-proxy', 'client').cert],
  );
}

/** What flanneld and its CNI plugin are in a Kubernetes cluster, as the objects that the API server takes. Pure. */
import { createHash } from 'node:crypto';
import { HEALTH_PORT } from '@flannel-ts/flannel/defaults';
import { WRITABLE_SYSCTL } from '@flannel-ts/linux/sysctl-paths';

export interface FlannelSettings {
  /** flannel's network config, as in net-conf.json; `Network` is the cluster's pod network. */
  readonly network: object;
  /** Of the image that `npm run flannel-image` makes. */
  readonly image: string;
  readonly imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  readonly namespace?: string;
  /** For a network of its own beside another one. */
  readonly annotationPrefix?: string;
  readonly ipMasq?: boolean;
  /** More flags of flanneld. */
  readonly flags?: readonly string[];
  /** For clusters with the Prometheus operator. */
  readonly podMonitor?: boolean;
  /** Default: those of every node. */
  readonly nodeSelector?: Readonly<Record<string, string>>;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** As in flannel's own manifests, so that `kubectl apply` of one replaces the other. */
export const NAME = 'kube-flannel-ds';
const ACCOUNT = 'flannel';
const CONFIG_MAP = 'kube-flannel-cfg';
const DEFAULT_NAMESPACE = 'kube-flannel';
/** The first two select the pods, as in flannel's manifests: an API server takes no other selector for a DaemonSet that exists. */
const SELECTOR = { app: 'flannel', 'k8s-app': 'flannel' };
const LABELS = { ...SELECTOR, tier: 'node' };
const CONFIG_DIR = '/etc/kube-flannel';
/** In the image. */
export const IMAGE_PATHS = { flanneld: '/opt/bin/flanneld', plugin: '/opt/cni/flannel' } as const;

export function flannelObjects(settings: FlannelSettings): readonly KubernetesObject[] {
  const { namespace = DEFAULT_NAMESPACE, podMonitor = false } = settings;
  // Of the whole cluster: networks beside each other have roles of their own.
  const role = namespace === DEFAULT_NAMESPACE ? ACCOUNT : `${ACCOUNT}-${namespace}`;
  const data = { 'cni-conf.json': pretty(CNI_CONFIG), 'net-conf.json': pretty(settings.network) };
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      // A pod in the host's network with capabilities is refused elsewhere (Pod Security Admission).
      metadata: {
        name: namespace,
        labels: { 'k8s-app': 'flannel', ...podSecurity('enforce'), ...podSecurity('audit'), ...podSecurity('warn') },
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: ACCOUNT, namespace } },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: role }, rules: RULES },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: CONFIG_MAP, namespace, labels: LABELS }, data },
    daemonSet(settings, namespace, data),
    ...(podMonitor ? [podMonitorOf(namespace)] : []),
  ];
}

const podSecurity = (mode: string) => ({ [`pod-security.kubernetes.io/${mode}`]: 'privileged' });

/** NODE_NAME is given to the pod: it needs no right to read pods, as flannel's does. */
const RULES = [
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
];

/** The plugin maps ports and limits bandwidth itself. */
const CNI_CONFIG = {
  name: 'cbr0',
  cniVersion: '1.0.0',
  plugins: [
    {
      type: 'flannel',
      delegate: { hairpinMode: true, isDefaultGateway: true },
      capabilities: { portMappings: true, bandwidth: true },
    },
  ],
};

interface Mount {
  readonly name: string;
  readonly at: string;
  readonly host: string;
  readonly type?: string;
  /** What is mounted below it in the container is on the host, too. */
  readonly propagates?: boolean;
}

/** What lasts longer than the pod: pods of the node run on while it is replaced. */
const MOUNTS: readonly Mount[] = [
  { name: 'run', at: '/run/flannel', host: '/run/flannel', type: 'DirectoryOrCreate' },
  { name: 'identity', at: '/var/lib/flannel', host: '/var/lib/flannel', type: 'DirectoryOrCreate' },
  { name: 'xtables-lock', at: '/run/xtables.lock', host: '/run/xtables.lock', type: 'FileOrCreate' },
];
/**
 * Of the udp backend: its device, which runc lets every container open by its default rules (only versions 1.2.0 to 1.2.3 do not), and
 * names of its programs, which go on while the pod is replaced.
 */
const UDP_MOUNTS: readonly Mount[] = [
  { name: 'tun', at: '/dev/net/tun', host: '/dev/net/tun', type: 'CharDevice' },
  { name: 'bpf', at: '/sys/fs/bpf', host: '/sys/fs/bpf' },
];
/** Runtimes mount /proc/sys read-only unless a container is privileged. flanneld writes here then (packages/linux/src/sysctl.ts). */
const SYSCTL: Mount = { name: 'sysctl-net', at: WRITABLE_SYSCTL, host: '/proc/sys/net', type: 'Directory' };
const CNI_MOUNTS: readonly Mount[] = [
  { name: 'cni-plugin', at: '/host/opt/cni/bin', host: '/opt/cni/bin', type: 'DirectoryOrCreate' },
  { name: 'cni', at: '/host/etc/cni/net.d', host: '/etc/cni/net.d', type: 'DirectoryOrCreate' },
];

function daemonSet(settings: FlannelSettings, namespace: string, data: object): KubernetesObject {
  const { image, imagePullPolicy = 'IfNotPresent', nodeSelector = {} } = settings;
  const isUdp = JSON.stringify(settings.network).toLowerCase().includes('"type":"udp"');
  // Programs in the kernel may need a file system mounted on the host, and rights over all programs: a container has them only when it is privileged.
  const hasPrograms = isUdp && /"engine":"ebpf"|-engine=ebpf/i.test(JSON.stringify([settings.network, settings.flags]));
  const udpMounts = UDP_MOUNTS.map((mount) => (mount.name === 'bpf' ? { ...mount, propagates: hasPrograms } : mount));
  const mounts = [...MOUNTS, SYSCTL, ...(isUdp ? udpMounts : [])];
  const config = { name: 'flannel-cfg', mountPath: CONFIG_DIR };
  const common = { image, imagePullPolicy, securityContext: securityContext([]) };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: NAME, namespace, labels: LABELS },
    spec: {
      selector: { matchLabels: SELECTOR },
      // The new one starts beside the old one, which ends when the new one has taken over and is ready. So there are no ports in the
      // pod: with hostNetwork the scheduler would wait for the old one's to be free.
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      // A node counts as updated once it has been ready for so long: a fault stops at the first one.
      minReadySeconds: 5,
      template: {
        metadata: { labels: LABELS, annotations: { 'flannel-ts/config-sha256': sha256(JSON.stringify(data)) } },
        spec: {
          hostNetwork: true,
          priorityClassName: 'system-node-critical',
          serviceAccountName: ACCOUNT,
          nodeSelector: { 'kubernetes.io/os': 'linux', ...nodeSelector },
          // Before the network is there, nodes are not ready; nothing else is ready before flanneld is.
          tolerations: [{ operator: 'Exists' }],
          terminationGracePeriodSeconds: 5,
          initContainers: [
            {
              ...common,
              name: 'install-cni',
              command: [IMAGE_PATHS.flanneld, 'install-cni'],
              args: [
                '-cni-bin-dir=/host/opt/cni/bin',
                '-cni-conf-dir=/host/etc/cni/net.d',
                IMAGE_PATHS.plugin,
                `${CONFIG_DIR}/cni-conf.json`,
              ],
              volumeMounts: [...CNI_MOUNTS.map(mountOf), config],
            },
          ],
          containers: [
            {
              ...common,
              name: 'kube-flannel',
              command: [IMAGE_PATHS.flanneld],
              args: flagsOf(settings),
              env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
              resources: { requests: { cpu: '100m', memory: '100Mi' } },
              securityContext: securityContext(['NET_ADMIN', 'NET_RAW'], hasPrograms),
              livenessProbe: { httpGet: { host: '127.0.0.1', path: '/healthz', port: HEALTH_PORT }, periodSeconds: 10 },
              readinessProbe: { httpGet: { host: '127.0.0.1', path: '/readyz', port: HEALTH_PORT }, periodSeconds: 5 },
              volumeMounts: [...mounts.map(mountOf), config],
            },
          ],
          volumes: [
            ...[...mounts, ...CNI_MOUNTS].map(({ name, host, type }) => ({ name, hostPath: { path: host, type } })),
            { name: 'flannel-cfg', configMap: { name: CONFIG_MAP } },
          ],
        },
      },
    },
  };
}

function flagsOf({ annotationPrefix, ipMasq = true, flags = [], podMonitor = false }: FlannelSettings): string[] {
  return [
    '-kube-subnet-mgr',
    '-take-over',
    ...(ipMasq ? ['-ip-masq'] : []),
    // Prometheus asks from elsewhere; otherwise nobody but kubelet has to.
    ...(podMonitor ? [] : ['-healthz-ip=127.0.0.1']),
    `-healthz-port=${HEALTH_PORT}`,
    ...(annotationPrefix === undefined ? [] : [`-kube-annotation-prefix=${annotationPrefix}`]),
    ...flags,
  ];
}

function securityContext(add: readonly string[], privileged = false): object {
  if (privileged) return { privileged: true, readOnlyRootFilesystem: true };
  return {
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], ...(add.length > 0 && { add }) },
  };
}

function mountOf({ name, at, propagates = false }: Mount): object {
  return { name, mountPath: at, ...(propagates && { mountPropagation: 'Bidirectional' }) };
}

/** The pod names no port. */
const TO_HEALTH_PORT = {
  sourceLabels: ['__meta_kubernetes_pod_ip'],
  targetLabel: '__address__',
  replacement: `$1:${HEALTH_PORT}`,
};

function podMonitorOf(namespace: string): KubernetesObject {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: ACCOUNT, namespace, labels: LABELS },
    spec: {
      selector: { matchLabels: LABELS },
      podMetricsEndpoints: [{ path: '/metrics', relabelings: [TO_HEALTH_PORT] }],
    },
  };
}

/** As people edit it with kubectl. */
function pretty(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

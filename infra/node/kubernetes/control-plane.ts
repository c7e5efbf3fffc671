/** kube-apiserver, kube-controller-manager and kube-scheduler, on one machine. */
import { composeMachine, type MachinePlan, part } from '../machine-plan.ts';
import { credentialPaths, kubeconfigOf } from './credentials.ts';
import { API_PORT, CLUSTER_DOMAIN, kubeconfigFile, type Place, type ServiceNetwork } from './settings.ts';

export interface ControlPlanePart extends Place {
  readonly address: string;
  readonly etcdEndpoints: readonly string[];
  readonly services: ServiceNetwork;
  readonly podCidr: string;
  /** Given where the nodes' parts of podCidr come from Kubernetes. */
  readonly nodeMask?: number;
}

export function apiServerUrl(address: string): string {
  return `https://${address}:${API_PORT}`;
}

/** Who the API server's certificate is for, addresses apart. */
export const API_NAMES = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  `kubernetes.default.svc.${CLUSTER_DOMAIN}`,
];

export function controlPlane(args: ControlPlanePart): Required<MachinePlan> {
  return composeMachine(apiServer(args), controllerManager(args), scheduler(args), administration(args));
}

function apiServer({ root, bin, address, etcdEndpoints, services }: ControlPlanePart): MachinePlan {
  const [serving, kubelet] = ['server', 'kubelet'].map((purpose) => credentialPaths(root, 'kube-apiserver', purpose));
  const etcd = credentialPaths(root, 'etcd', 'client');
  const tokens = credentialPaths(root, 'service-accounts', 'signer');
  return part(
    [],
    {
      name: 'kube-apiserver',
      description: "kube-apiserver, the cluster's store",
      command: [
        `${bin}/kube-apiserver`,
        `--advertise-address=${address}`,
        `--bind-address=${address}`,
        `--secure-port=${API_PORT}`,
        `--etcd-servers=${etcdEndpoints.join(',')}`,
        `--etcd-cafile=${etcd.ca}`,
        `--etcd-certfile=${etcd.cert}`,
        `--etcd-keyfile=${etcd.key}`,
        `--tls-cert-file=${serving!.cert}`,
        `--tls-private-key-file=${serving!.key}`,
        `--client-ca-file=${serving!.ca}`,
        `--kubelet-certificate-authority=${serving!.ca}`,
        `--kubelet-client-certificate=${kubelet!.cert}`,
        `--kubelet-client-key=${kubelet!.key}`,
        '--kubelet-preferred-address-types=InternalIP',
        `--service-cluster-ip-range=${services.cidr}`,
        `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
        `--service-account-key-file=${tokens.cert}`,
        `--service-account-signing-key-file=${tokens.key}`,
        '--authorization-mode=Node,RBAC',
        '--enable-admission-plugins=NodeRestriction',
        '--enable-aggregator-routing',
        '--allow-privileged',
      ],
      environmentFiles: [],
      directories: [`${root}/var/log`],
      readyUrl: `https://${address}:${API_PORT}/readyz`,
      log: `${root}/var/log/kube-apiserver.log`,
      stopSeconds: 15,
    },
    [serving!.cert, kubelet!.cert, etcd.cert],
  );
}

function controllerManager({ root, bin, address, podCidr, nodeMask }: ControlPlanePart): MachinePlan {
  const user = 'kube-controller-manager';
  const { cert, ca } = credentialPaths(root, user, 'client');
  const signer = credentialPaths(root, 'authority', 'signer');
  const allocate = nodeMask === undefined ? [] : [`--cluster-cidr=${podCidr}`, `--node-cidr-mask-size=${nodeMask}`];
  return part(
    [kubeconfigOf(root, user, apiServerUrl(address))],
    {
      name: user,
      description: 'kube-controller-manager, which turns deployments into pods',
      command: [
        `${bin}/${user}`,
        ...connections(root, user),
        '--bind-address=127.0.0.1',
        `--allocate-node-cidrs=${nodeMask !== undefined}`,
        ...allocate,
        `--root-ca-file=${ca}`,
        `--service-account-private-key-file=${credentialPaths(root, 'service-accounts', 'signer').key}`,
        `--cluster-signing-cert-file=${signer.cert}`,
        `--cluster-signing-key-file=${signer.key}`,
        '--use-service-account-credentials',
        // One of each, so that there is nobody to elect.
        '--leader-elect=false',
        '--kube-api-qps=200',
        '--kube-api-burst=400',
      ],
      environmentFiles: [],
      directories: [`${root}/var/log`],
      readyUrl: 'https://127.0.0.1:10257/healthz',
      log: `${root}/var/log/${user}.log`,
      stopSeconds: 5,
      after: ['kube-apiserver'],
    },
    [cert],
  );
}

function scheduler({ root, bin, address }: ControlPlanePart): MachinePlan {
  const user = 'kube-scheduler';
  return part(
    [kubeconfigOf(root, user, apiServerUrl(address))],
    {
      name: user,
      description: 'kube-scheduler, which chooses nodes for pods',
      command: [`${bin}/${user}`, ...connections(root, user), '--bind-address=127.0.0.1', '--leader-elect=false'],
      environmentFiles: [],
      directories: [`${root}/var/log`],
      readyUrl: 'https://127.0.0.1:10259/healthz',
      log: `${root}/var/log/${user}.log`,
      stopSeconds: 5,
      after: ['kube-apiserver'],
    },
    [credentialPaths(root, user, 'client').cert],
  );
}

function connections(root: string, user: string): string[] {
  const path = kubeconfigFile(root, user);
  return ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map((flag) => `--${flag}=${path}`);
}

/** For whoever works on the machine itself. */
function administration({ root, address }: ControlPlanePart): MachinePlan {
  return { files: [kubeconfigOf(root, 'admin', apiServerUrl(address))], units: [] };
}

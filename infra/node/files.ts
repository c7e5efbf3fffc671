/**
 * What a machine boots with: files, and the one service it runs. Pure, and the same for every environment; `root` is where
 * the machine's file system begins, empty on a machine of its own.
 */
import { DEFAULT_ETCD_PREFIX, ETCD_CLIENT_PORT, ETCD_PEER_PORT, HEALTH_PORT } from '@flannel-ts/flannel/defaults';

export interface BootFile {
  /** Absolute, below the root. */
  readonly path: string;
  /** As chmod takes it: "0600". */
  readonly mode: string;
  readonly content: string;
}

/** A service, to be rendered as a systemd unit or as a supervisor's descriptor. */
export interface Unit {
  readonly name: string;
  readonly description: string;
  readonly command: readonly string[];
  /** `NAME=value` lines. One that does not exist is skipped. */
  readonly environmentFiles: readonly string[];
  /** Created before the first start. */
  readonly directories: readonly string[];
  /** Answers 200 when the service is ready. On loopback, in the machine's own network. */
  readonly readyUrl: string;
  readonly log: string;
  /** How one of the service takes over from another that runs, where no systemd keeps its descriptors. */
  readonly handOver?: { readonly socket: string; readonly argument: string };
  /** How long it may take to end after SIGTERM. */
  readonly stopSeconds: number;
  /** Run with the service's environment before the machine is removed for good. */
  readonly decommission?: readonly string[];
}

/** As CNI calls it. */
const POD_NETWORK = 'flannel';

export interface BootPlan {
  readonly files: readonly BootFile[];
  readonly unit: Unit;
}

export interface NodeBoot {
  readonly root: string;
  readonly etcdEndpoints: readonly string[];
  /** The interface to the other nodes; that of the default route if absent. */
  readonly interface?: string;
}

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** A node: flanneld, and the network configuration a container runtime reads. */
export function nodeBoot({ root, etcdEndpoints, interface: link }: NodeBoot): BootPlan {
  const installed = `${root}/opt/flannel/current`;
  const environment = `${root}/etc/flannel/flanneld.env`;
  return {
    files: [
      {
        path: environment,
        mode: '0644',
        content: lines({
          FLANNELD_ETCD_ENDPOINTS: etcdEndpoints.join(','),
          FLANNELD_ETCD_PREFIX: DEFAULT_ETCD_PREFIX,
          FLANNELD_ETCD_CAFILE: `${root}/etc/flannel/tls/ca.crt`,
          FLANNELD_ETCD_CERTFILE: `${root}/etc/flannel/tls/client.crt`,
          FLANNELD_ETCD_KEYFILE: `${root}/etc/flannel/tls/client.key`,
          ...(link !== undefined && { FLANNELD_IFACE: link }),
          FLANNELD_SUBNET_FILE: subnetFile(root),
          FLANNELD_IP_MASQ: 'true',
          FLANNELD_HEALTHZ_IP: '127.0.0.1',
          FLANNELD_HEALTHZ_PORT: String(HEALTH_PORT),
          FLANNELD_HEALTH_ENDPOINT: 'true',
          FLANNELD_HOST_LOCAL_DIR: hostLocalDirectory(root),
        }),
      },
      { path: conflistFile(root), mode: '0644', content: conflist(root) },
    ],
    unit: {
      name: 'flanneld',
      description: 'flannel, the network of the pods',
      command: [`${installed}/flanneld`],
      environmentFiles: [environment],
      directories: [`${root}/run/flannel`, `${root}/var/lib/cni`, `${root}/var/log`],
      readyUrl: `http://127.0.0.1:${HEALTH_PORT}/readyz`,
      log: `${root}/var/log/flanneld.log`,
      handOver: { socket: `${root}/run/flannel/subnet.handover`, argument: '-take-over' },
      stopSeconds: 10,
      decommission: [`${installed}/flanneld`, 'release'],
    },
  };
}

/** Where flanneld says which subnet the node has; the CNI plugin waits for it. */
export function subnetFile(root: string): string {
  return `${root}/run/flannel/subnet.env`;
}

/** Where flanneld answers `flanneld status`, and whoever asks over HTTP. */
export function statusSocket(root: string): string {
  return `${root}/run/flannel/subnet.sock`;
}

export function conflistFile(root: string): string {
  return `${root}/etc/cni/net.d/10-flannel.conflist`;
}

/** host-local's allocations. */
function hostLocalDirectory(root: string): string {
  return `${root}/var/lib/cni/networks`;
}

/** The same for the pods of this node's network. flanneld reserves the health endpoint's address there, and so has to be able to write. */
export function podAllocations(root: string): string {
  return `${hostLocalDirectory(root)}/${POD_NETWORK}`;
}

/** Where the runtime finds the plugins that the conflist names. */
export function pluginDirectory(root: string): string {
  return `${root}/opt/flannel/current/cni`;
}

/** The node's credentials for etcd. Separate from the other files, because one is a private key. */
export function nodeSecrets(root: string, ca: string, client: KeyPair): BootFile[] {
  return tlsFiles(`${root}/etc/flannel/tls`, ca, { client });
}

export interface EtcdBoot {
  readonly root: string;
  readonly name: string;
  readonly address: string;
  readonly dataDirectory?: string;
  /** File of the authority for members, beside that for clients; without it one authority signs for both. */
  readonly peerCa?: string;
  /** Of the machine that etcd runs on, as Node.js has it; undefined if that is not known here. */
  readonly architecture?: string | undefined;
}

/**
 * An etcd member. It asks the cluster for the other members when it starts for the first time, so that its files do not change
 * when members are added or removed.
 */
export function etcdBoot(boot: EtcdBoot): BootPlan {
  const { root, name, address, dataDirectory = `${boot.root}/var/lib/etcd`, peerCa = 'ca.crt' } = boot;
  const architecture = 'architecture' in boot ? boot.architecture : process.arch;
  const tls = `${root}/etc/etcd/tls`;
  const environment = `${root}/etc/etcd/etcd.env`;
  return {
    files: [
      {
        path: environment,
        mode: '0644',
        content: lines({
          ETCD_NAME: name,
          ETCD_DATA_DIR: dataDirectory,
          ETCD_LISTEN_CLIENT_URLS: etcdClientUrl(address),
          ETCD_ADVERTISE_CLIENT_URLS: etcdClientUrl(address),
          ETCD_LISTEN_PEER_URLS: etcdPeerUrl(address),
          ETCD_INITIAL_ADVERTISE_PEER_URLS: etcdPeerUrl(address),
          ETCD_LISTEN_METRICS_URLS: 'http://127.0.0.1:2381',
          ETCD_CLIENT_CERT_AUTH: 'true',
          ETCD_TRUSTED_CA_FILE: `${tls}/ca.crt`,
          ETCD_CERT_FILE: `${tls}/server.crt`,
          ETCD_KEY_FILE: `${tls}/server.key`,
          ETCD_PEER_CLIENT_CERT_AUTH: 'true',
          // Where one CA signs for peers and clients, only this name keeps a client's certificate out of the cluster's inside.
          ETCD_PEER_CERT_ALLOWED_CN: ETCD_PEER_NAME,
          ETCD_PEER_TRUSTED_CA_FILE: `${tls}/${peerCa}`,
          ETCD_PEER_CERT_FILE: `${tls}/peer.crt`,
          ETCD_PEER_KEY_FILE: `${tls}/peer.key`,
          // The gateway would call the member with the server's certificate, which is no client's. flanneld speaks gRPC.
          ETCD_ENABLE_GRPC_GATEWAY: 'false',
          ETCD_AUTO_COMPACTION_MODE: 'periodic',
          ETCD_AUTO_COMPACTION_RETENTION: '1h',
          // etcd 3.4 refuses to start on other architectures than amd64 without being told.
          ...(architecture === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {}),
        }),
      },
    ],
    unit: {
      name: 'etcd',
      description: 'etcd, which holds the leases of the nodes',
      command: ['etcd'],
      environmentFiles: [environment, etcdInitialFile(root)],
      directories: [`${root}/var/log`],
      readyUrl: 'http://127.0.0.1:2381/health',
      log: `${root}/var/log/etcd.log`,
      stopSeconds: 10,
    },
  };
}

/** The common name of the certificate with which members talk to each other. */
export const ETCD_PEER_NAME = 'etcd-peer';

export function etcdClientUrl(address: string): string {
  return `https://${address}:${ETCD_CLIENT_PORT}`;
}

export function etcdPeerUrl(address: string): string {
  return `https://${address}:${ETCD_PEER_PORT}`;
}

/** What a member needs to know only when it has no data yet; written by whoever starts it. */
export function etcdInitialFile(root: string): string {
  return `${root}/etc/etcd/initial.env`;
}

export function etcdInitialCluster(
  state: 'new' | 'existing',
  members: readonly { name: string; peerUrl: string }[],
): string {
  return lines({
    ETCD_INITIAL_CLUSTER: members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(','),
    ETCD_INITIAL_CLUSTER_STATE: state,
  });
}

/** `admin` is for etcdctl, run on the member itself. */
export function etcdSecrets(
  root: string,
  ca: string,
  pairs: { readonly server: KeyPair; readonly peer: KeyPair; readonly admin: KeyPair },
): BootFile[] {
  return tlsFiles(`${root}/etc/etcd/tls`, ca, pairs);
}

export function tlsFiles(directory: string, ca: string, pairs: Readonly<Record<string, KeyPair>>): BootFile[] {
  const files: BootFile[] = [{ path: `${directory}/ca.crt`, mode: '0644', content: ca }];
  for (const [name, { certificate, key }] of Object.entries(pairs)) {
    files.push({ path: `${directory}/${name}.crt`, mode: '0644', content: certificate });
    files.push({ path: `${directory}/${name}.key`, mode: '0600', content: key });
  }
  return files;
}

/** As flannel's own manifest has it, with the directories of this machine. `capabilities`: what a runtime may ask the plugin for. */
export function conflist(root: string, capabilities?: Readonly<Record<string, true>>): string {
  const list = {
    cniVersion: '1.0.0',
    name: POD_NETWORK,
    plugins: [
      {
        type: 'flannel',
        subnetFile: subnetFile(root),
        dataDir: `${root}/var/lib/cni/flannel`,
        ipam: { dataDir: hostLocalDirectory(root) },
        delegate: { hairpinMode: true, isDefaultGateway: true },
        ...(capabilities && { capabilities }),
        // In a node without a filesystem of its own, it would keep the namespaces of a removed node for a while.
        ...(root !== '' && { resident: false }),
      },
    ],
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

/** The form that systemd's EnvironmentFile= takes as well: no value here needs quotes. */
function lines(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

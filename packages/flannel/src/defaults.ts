/** The defaults of flannel and its CNI plugin. Peers and scripts rely on these values. */
export const DEFAULT_ETCD_PREFIX = '/coreos.com/network';
/** etcd's own (IANA: etcd-client, etcd-server). */
export const ETCD_CLIENT_PORT = 2379;
export const ETCD_PEER_PORT = 2380;
export const DEFAULT_ETCD_ENDPOINTS = 'http://127.0.0.1:4001,http://127.0.0.1:2379';
export const DEFAULT_SUBNET_FILE = '/run/flannel/subnet.env';
/** Who holds the health endpoint's address in host-local's store. */
export const HEALTH_ENDPOINT_OWNER = 'flanneld-health-endpoint';
/** Of our own: flannel keeps what peers know a node by in Kubernetes only. */
export const DEFAULT_IDENTITY_FILE = '/var/lib/flannel/identity.json';

/** flannel: subnet/etcd/local_manager.go, subnetTTL. */
export const SUBNET_TTL_SECONDS = 86_400;
/** -subnet-lease-renew-margin, in minutes. */
export const DEFAULT_RENEW_MARGIN_MINUTES = 60;

/** -healthz-port of flannel's manifests (kube-flannel.yml); flannel's own default is none. */
export const HEALTH_PORT = 8081;

export const UDP_PORT = 8285;
/** The Linux kernel's default, not IANA's 4789: peers that leave Port out use it (drivers/net/vxlan). */
export const VXLAN_PORT = 8472;
export const VXLAN_VNI = 1;
/** WireGuard's own is 51820; flannel's second tunnel has the next one. */
export const WIREGUARD_PORT = 51_820;
export const WIREGUARD_PORT_IPV6 = 51_821;

/** Outer IPv4 header 20, UDP header 8. */
export const UDP_OVERHEAD = 28;
/** The same with an outer IPv6 header of 40. */
export const UDP_OVERHEAD_IPV6 = 48;
/** Outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). */
export const VXLAN_OVERHEAD = 50;
/** The same with an outer IPv6 header of 40. flannel uses 50 here too, and full-size packets get lost. */
export const VXLAN_OVERHEAD_IPV6 = 70;
/** Outer IPv4 20 (RFC 2003). */
export const IPIP_OVERHEAD = 20;
/** Outer IPv6 40, UDP 8, WireGuard's header and authentication tag 32: flannel's, whichever family is outside. */
export const WIREGUARD_OVERHEAD = 80;

/** The route protocol of our own routes, by which they are recognized; unused in /etc/iproute2/rt_protos. */
export const RTPROT_FLANNEL = 241;

export const DEFAULT_CNI_DATA_DIR = '/var/lib/cni/flannel';
export const DEFAULT_HOST_LOCAL_DATA_DIR = '/var/lib/cni/networks';
export const DEFAULT_CNI_DELEGATE = 'bridge';
export const DEFAULT_CNI_IPAM = 'host-local';
/** The bridge of the node's pods, in flannel's own manifests. */
export const DEFAULT_BRIDGE = 'cni0';

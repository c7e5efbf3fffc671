/** A cluster on the stack's machines: the control plane on one of its own, kubelet and its relatives on every node. */
import { podPool } from '@flannel-ts/flannel/addressing';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import * as pulumi from '@pulumi/pulumi';
import { readConfiguredKubernetes, readConfiguredOverlay } from '../configured.ts';
import { type BootFile, type KeyPair, pluginDirectory } from '../node/files.ts';
import { containerdPart } from '../node/kubernetes/containerd.ts';
import { API_NAMES, apiServerUrl, controlPlane } from '../node/kubernetes/control-plane.ts';
import { corednsObjects } from '../node/kubernetes/coredns.ts';
import {
  credentialFiles,
  IDENTITIES,
  kubeconfigName,
  nodeIdentity,
  standaloneKubeconfig,
} from '../node/kubernetes/credentials.ts';
import { demoObjects } from '../node/kubernetes/demo.ts';
import { PAUSE_IMAGE } from '../node/kubernetes/images.ts';
import { kubeletPart, kubeProxyPart } from '../node/kubernetes/kubelet.ts';
import {
  API_PORT,
  CLUSTER_DOMAIN,
  kubeconfigFile,
  type ServiceNetwork,
  serviceNetwork,
} from '../node/kubernetes/settings.ts';
import { composeMachine, type MachinePlan } from '../node/machine-plan.ts';
import type { Identity } from '../pki.ts';
import type { KubernetesSettings } from '../settings.ts';
import type { Etcd } from './etcd.ts';
import { FlannelPods } from './flannel-pods.ts';
import { controlGroup, machineRoot } from './names.ts';
import { lastingPair, Pki } from './pki.ts';
import type { ClusterMachine } from './plain-machine.ts';
import { type Publication, publicationName } from './publications.ts';
import type { ForwardTarget } from './publish/plan.ts';
import { Cluster, KubernetesArtifact, Published, StoredImage, Units } from './resources.ts';

/** Zones are names only, which some tests and schedulers look at. */
const ZONES = 3;
const ZONE_LABEL = 'topology.kubernetes.io/zone';
const DNS_REPLICAS = 2;
/** As kubeadm has it: pods of the overlay come, others do not. */
const CONTROL_PLANE_TAINT = 'node-role.kubernetes.io/control-plane=:NoSchedule';
/** Whoever is on this machine. */
const API_ADDRESS = '127.0.0.1';

export interface KubernetesArgs {
  readonly stack: string;
  readonly settings: KubernetesSettings;
  readonly network: NetworkConfig;
  readonly etcd: Etcd;
  /** Whose certificates etcd trusts. */
  readonly etcdPki: Pki;
  /** A machine with flanneld, as the nodes are: the API server calls pods. */
  readonly control: ClusterMachine;
  readonly nodes: readonly ClusterMachine[];
  /** Directory of the build whose flanneld comes as pods; absent where the machines have it. */
  readonly overlay?: string;
}

export class Kubernetes extends pulumi.ComponentResource {
  /** For people: complete in itself. Secret. */
  readonly kubeconfig: pulumi.Output<string>;
  private readonly pki: Pki;
  private readonly services: ServiceNetwork;
  private readonly server: string;
  private readonly podCidr: string;
  private readonly artifact: KubernetesArtifact;
  private readonly image: { readonly name: string; readonly archive: StoredImage } | undefined;
  private readonly cluster: Cluster;

  constructor(
    name: string,
    private readonly args: KubernetesArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:local:Kubernetes', name, {}, options);
    const { stack, settings, network, control, nodes, overlay } = args;
    this.pki = new Pki('kubernetes-pki', { stack, commonName: `Kubernetes ${stack} CA` }, { parent: this });
    this.services = serviceNetwork(settings.services);
    this.server = apiServerUrl(control.address);
    this.podCidr = formatPrefix(podPool(network).network);
    const { sha256, source } = readConfiguredKubernetes(settings.artifact);
    this.artifact = new KubernetesArtifact('kubernetes-artifact', { stack, sha256, source }, { parent: this });
    this.image = overlay === undefined ? undefined : this.storeImage(overlay);
    const admin = this.issue('admin', { ...IDENTITIES.admin, usages: ['client'] });
    const controlUnits = this.controlUnits(admin);
    const workers = nodes.map((node, i) => this.nodeUnits(node, i, controlUnits));
    const api = this.publish('api', control, {
      ...{ address: API_ADDRESS, port: settings.apiPort, protocol: 'tcp' },
      target: { endpoints: [`${control.address}:${API_PORT}`] },
    });
    // By the first node, for kube-proxy is there, and with it the addresses of services.
    for (const each of settings.publish) {
      this.publish(publicationName(each), nodes[0]!, { ...each, target: this.targetOf(each) });
    }
    this.kubeconfig = pulumi.secret(
      pulumi
        .all([this.pki.ca, admin, api.listensOn])
        .apply(([authority, pair, port]) =>
          standaloneKubeconfig(kubeconfigName(stack), `https://${API_ADDRESS}:${port}`, authority, pair),
        ),
    );
    const pods = this.image && this.flannelPods(this.image.name, controlUnits, workers);
    this.cluster = this.ready(controlUnits, [...workers, ...(pods ? [pods] : [])]);
    this.registerOutputs();
  }

  /** Which Kubernetes gave the node, where its flanneld is a pod. */
  podSubnetOf(node: string): pulumi.Output<string> {
    return this.cluster.podSubnets.apply((subnets) => subnets?.[node] ?? '');
  }

  private storeImage(build: string): { readonly name: string; readonly archive: StoredImage } {
    const { name, sha256, source } = readConfiguredOverlay(build);
    const archive = new StoredImage('flannel-image', { stack: this.args.stack, sha256, source }, { parent: this });
    return { name, archive };
  }

  private flannelPods(image: string, control: Units, workers: readonly Units[]): FlannelPods {
    const { stack, network } = this.args;
    // Not before there is an API server.
    const kubeconfig = pulumi.all([this.kubeconfig, control.id]).apply(([text]) => text);
    return new FlannelPods(
      'flannel-pods',
      { stack, network, image, kubeconfig, control },
      { parent: this, dependsOn: [control, ...workers] },
    );
  }

  private controlUnits(admin: pulumi.Output<KeyPair>): Units {
    const { stack, control, etcd, etcdPki } = this.args;
    const root = machineRoot(stack, control.label);
    const { services, podCidr } = this;
    const isNode = this.image !== undefined;
    const make = (bin: string) =>
      composeMachine(
        controlPlane({
          ...{ root, bin, address: control.address, etcdEndpoints: etcd.endpoints, services, podCidr },
          ...(isNode && { nodeMask: podPool(this.args.network).subnetLength }),
        }),
        ...(isNode ? [this.workerPlan(control, bin, { taints: [CONTROL_PLANE_TAINT] })] : []),
      );
    const server = this.issue('server', {
      commonName: 'kube-apiserver',
      usages: ['server'],
      dnsNames: API_NAMES,
      ipAddresses: [services.api, control.address, '127.0.0.1'],
    });
    const client = (identity: Pick<Identity, 'commonName' | 'organization'>) =>
      this.issue(`client-${identity.commonName.replaceAll(':', '-')}`, { ...identity, usages: ['client'] });
    const signer = lastingPair('kubernetes-service-accounts', stack, 'service accounts', this);
    const secretFiles = pulumi
      .output({
        etcdCa: etcdPki.ca,
        etcdClient: etcdPki.client('kube-apiserver'),
        ca: this.pki.ca,
        authority: this.pki.signer,
        server,
        kubelet: client(IDENTITIES.apiserver),
        manager: client(IDENTITIES.controllerManager),
        scheduler: client(IDENTITIES.scheduler),
        signer,
        admin,
      })
      .apply((all) => [
        ...credentialFiles(root, 'etcd', all.etcdCa, { client: all.etcdClient }),
        ...credentialFiles(root, 'kube-apiserver', all.ca, { server: all.server, kubelet: all.kubelet }),
        ...credentialFiles(root, 'service-accounts', all.ca, { signer: all.signer }),
        ...credentialFiles(root, 'authority', all.ca, { signer: all.authority }),
        ...credentialFiles(root, 'kube-controller-manager', all.ca, { client: all.manager }),
        ...credentialFiles(root, 'kube-scheduler', all.ca, { client: all.scheduler }),
        ...credentialFiles(root, 'admin', all.ca, { client: all.admin }),
      ]);
    if (!isNode) return this.units(control, make, secretFiles, { images: false, data: [], after: [etcd.ready] });
    const all = pulumi.all([secretFiles, this.workerSecrets(control)]).apply((lists) => lists.flat());
    return this.units(control, make, all, { images: true, data: this.workerData(control), after: [etcd.ready] });
  }

  private nodeUnits(node: ClusterMachine, index: number, control: Units): Units {
    const labels = { [ZONE_LABEL]: `zone-${index % ZONES}` };
    const make = (bin: string) => composeMachine(this.workerPlan(node, bin, { labels }));
    const data = this.workerData(node);
    return this.units(node, make, this.workerSecrets(node), { images: true, data, after: [control] });
  }

  private workerPlan(
    node: ClusterMachine,
    bin: string,
    marks: { readonly labels?: Readonly<Record<string, string>>; readonly taints?: readonly string[] },
  ): MachinePlan {
    const { stack, settings } = this.args;
    const root = machineRoot(stack, node.label);
    const { server, services, podCidr } = this;
    const plugins = this.image === undefined && { flannelPlugins: pluginDirectory(root) };
    return composeMachine(
      containerdPart({ root, ...plugins, pauseImage: PAUSE_IMAGE }),
      kubeletPart({
        root,
        bin,
        node: node.label,
        address: node.address,
        server,
        clusterDns: services.dns,
        cgroup: controlGroup(stack, node.label),
        labels: {},
        ...marks,
      }),
      kubeProxyPart({ root, bin, node: node.label, server, podCidr, mode: settings.proxyMode }),
    );
  }

  private workerData(node: ClusterMachine): string[] {
    const root = machineRoot(this.args.stack, node.label);
    return ['containerd', 'kubelet'].map((name) => `${root}/var/lib/${name}`);
  }

  private workerSecrets(node: ClusterMachine): pulumi.Output<BootFile[]> {
    const root = machineRoot(this.args.stack, node.label);
    const serving = this.issue(`server-${node.label}`, {
      commonName: node.label,
      usages: ['server'],
      dnsNames: [node.label],
      ipAddresses: [node.address],
    });
    const client = this.issue(`client-${node.label}`, { ...nodeIdentity(node.label), usages: ['client'] });
    const proxy = this.issue(`proxy-${node.label}`, { ...IDENTITIES.proxy, usages: ['client'] });
    return pulumi
      .output({ ca: this.pki.ca, serving, client, proxy })
      .apply((all) => [
        ...credentialFiles(root, 'kubelet', all.ca, { server: all.serving, client: all.client }),
        ...credentialFiles(root, 'kube-proxy', all.ca, { client: all.proxy }),
      ]);
  }

  private units(
    node: ClusterMachine,
    make: (bin: string) => Required<MachinePlan>,
    secretFiles: pulumi.Output<BootFile[]>,
    { images, data, after }: { images: boolean; data: string[]; after: pulumi.Resource[] },
  ): Units {
    const { directory } = this.artifact;
    const plan = directory.apply((path) => make(`${path}/bin`));
    return new Units(
      `${node.label}-units`,
      {
        stack: this.args.stack,
        machine: node.label,
        host: node.host,
        files: plan.files.apply((files) => [...files]),
        links: plan.links.apply((links) => [...links]),
        secretFiles: pulumi.secret(secretFiles),
        units: plan.units.apply((units) => [...units]),
        images: images ? this.images() : [],
        data,
        ...(this.image && { alone: true }),
      },
      { parent: this, dependsOn: after },
    );
  }

  /** Archives that each machine's containerd knows from its start. */
  private images(): pulumi.Output<string[]> {
    const { directory } = this.artifact;
    const own = this.image ? [this.image.archive.file] : [];
    return pulumi.all([directory, ...own]).apply(([path, ...archives]) => [`${path}/images.tar`, ...archives]);
  }

  private ready(control: Units, others: readonly pulumi.Resource[]): Cluster {
    const { stack, control: machine, nodes, settings } = this.args;
    const root = machineRoot(stack, machine.label);
    return new Cluster(
      'cluster',
      {
        stack,
        machine: machine.label,
        host: control.id,
        kubectl: this.artifact.directory.apply((path) => `${path}/bin/kubectl`),
        kubeconfig: kubeconfigFile(root, 'admin'),
        nodes: [...nodes, ...(this.image ? [machine] : [])].map(({ label }) => label),
        ...(this.image && { flanneldInPods: true }),
        objects: [
          ...corednsObjects(this.services.dns, Math.min(DNS_REPLICAS, nodes.length)),
          ...(settings.demo ? demoObjects(nodes.length) : []),
        ],
      },
      { parent: this, dependsOn: [control, ...others] },
    );
  }

  private publish(
    name: string,
    machine: ClusterMachine,
    { address, port, protocol, target }: Omit<Publication, 'target'> & { readonly target: ForwardTarget },
  ): Published {
    return new Published(
      `publish-${name}`,
      {
        ...{ stack: this.args.stack, name, address, port },
        ...{ machine: machine.label, host: machine.machine.id, plan: { protocol, target } },
      },
      { parent: this },
    );
  }

  private targetOf({ target }: Publication): ForwardTarget {
    if ('nodePort' in target) {
      return { endpoints: this.args.nodes.map(({ address }) => `${address}:${target.nodePort}`) };
    }
    const name = `${target.service}.${target.namespace}.svc.${CLUSTER_DOMAIN}`;
    return { name, port: target.port, dns: this.services.dns };
  }

  private issue(name: string, identity: Identity): pulumi.Output<KeyPair> {
    return this.pki.issue(name, identity);
  }
}

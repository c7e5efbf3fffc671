/** The local environment's resources, as the program sees them. What they do is in host.ts, in Pulumi's provider process. */
import * as pulumi from '@pulumi/pulumi';
import type { ArtifactInputs, ArtifactOutputs } from './host/artifact-store.ts';
import type { AuthorityInputs, CertificateInputs, IssuedOutputs } from './host/certificates.ts';
import type { ClusterInputs, ClusterOutputs } from './host/cluster.ts';
import type { EtcdKeyInputs, EtcdKeyOutputs, EtcdMemberInputs } from './host/etcd.ts';
import type { StoredImageInputs, StoredImageOutputs } from './host/image-store.ts';
import type { KubernetesArtifactInputs, KubernetesArtifactOutputs } from './host/kubernetes-artifact.ts';
import type { MachineInputs, MachineOutputs } from './host/machine.ts';
import type { NodeInputs, NodeOutputs, StagedInputs } from './host/node.ts';
import type { PodInputs, PodOutputs } from './host/pod.ts';
import type { PublishedInputs, PublishedOutputs } from './host/published.ts';
import type { UnitsInputs } from './host/units.ts';
import type { VpcInputs, VpcOutputs } from './host/vpc.ts';
import type { Kind } from './host.ts';

/**
 * The provider of one kind of resource. Its text is kept in the state with every resource, and what it does when that is
 * removed is what this text says: so it holds nothing but a name, and finds the code by the name of the package, in
 * whatever checkout the command runs.
 */
export function providerOf(kind: Kind): pulumi.dynamic.ResourceProvider {
  return {
    check: (olds, news) => require('@flannel-ts/infra/host').handlers[kind].check(olds, news),
    diff: (id, olds, news) => require('@flannel-ts/infra/host').handlers[kind].diff(id, olds, news),
    create: (inputs) => require('@flannel-ts/infra/host').handlers[kind].create(inputs),
    read: (id, props) => require('@flannel-ts/infra/host').handlers[kind].read(id, props),
    update: (id, olds, news) => require('@flannel-ts/infra/host').handlers[kind].update(id, olds, news),
    delete: (id, props) => require('@flannel-ts/infra/host').handlers[kind].delete(id, props),
  };
}

type Provider = pulumi.dynamic.ResourceProvider;
const providers = new Map<Kind, Provider>();

/** One object per kind: Pulumi serialises each of them once. */
function sharedProvider(kind: Kind): Provider {
  const provider = providers.get(kind) ?? providerOf(kind);
  providers.set(kind, provider);
  return provider;
}

type Args<I> = { readonly [K in keyof I]: pulumi.Input<I[K]> };
type Options = pulumi.CustomResourceOptions;

/** Outputs exist only if they are named among the properties; every resource says what is wrong with it as `drift`. */
abstract class LocalResource extends pulumi.dynamic.Resource {
  constructor(kind: Kind, type: string, name: string, args: object, outputs: readonly string[], options: Options) {
    const declared = Object.fromEntries([...outputs, 'drift'].map((output) => [output, undefined]));
    super(sharedProvider(kind), name, { ...declared, ...args }, options, 'local', type);
  }
}

export class VpcNetwork extends LocalResource {
  declare readonly netns: pulumi.Output<VpcOutputs['netns']>;

  constructor(name: string, args: Args<VpcInputs>, options: Options) {
    super('vpc', 'VpcNetwork', name, args, ['netns'], options);
  }
}

export class Machine extends LocalResource {
  declare readonly netns: pulumi.Output<MachineOutputs['netns']>;
  declare readonly root: pulumi.Output<MachineOutputs['root']>;

  constructor(name: string, args: Args<MachineInputs>, options: Options) {
    super('machine', 'Machine', name, args, ['netns', 'root'], options);
  }
}

export class StoredArtifact extends LocalResource {
  declare readonly url: pulumi.Output<ArtifactOutputs['url']>;
  declare readonly sha256: pulumi.Output<ArtifactInputs['sha256']>;

  constructor(name: string, args: Args<ArtifactInputs>, options: Options) {
    // The new one is there before the nodes change over, the old one goes when they have.
    super('artifact', 'StoredArtifact', name, args, ['url', 'owner'], { ...options, deleteBeforeReplace: false });
  }
}

abstract class Issued extends LocalResource {
  declare readonly certificate: pulumi.Output<IssuedOutputs['certificate']>;
  declare readonly key: pulumi.Output<IssuedOutputs['key']>;

  constructor(kind: 'authority' | 'certificate', type: string, name: string, args: object, options: Options) {
    const additionalSecretOutputs = ['key'];
    super(kind, type, name, args, ['certificate', 'key', 'notAfter'], { ...options, additionalSecretOutputs });
  }
}

export class Authority extends Issued {
  constructor(name: string, args: Args<AuthorityInputs>, options: Options) {
    super('authority', 'Authority', name, args, options);
  }
}

export class Certificate extends Issued {
  constructor(name: string, args: Args<CertificateInputs>, options: Options) {
    super('certificate', 'Certificate', name, args, options);
  }
}

export class EtcdMember extends LocalResource {
  constructor(name: string, args: Args<EtcdMemberInputs>, options: Options) {
    super('etcdMember', 'EtcdMember', name, args, [], options);
  }
}

export class EtcdKey extends LocalResource {
  declare readonly generation: pulumi.Output<EtcdKeyOutputs['generation']>;

  constructor(name: string, args: Args<EtcdKeyInputs>, options: Options) {
    super('etcdKey', 'EtcdKey', name, args, ['generation'], options);
  }
}

export class StagedArtifact extends LocalResource {
  declare readonly sha256: pulumi.Output<StagedInputs['sha256']>;

  constructor(name: string, args: Args<StagedInputs>, options: Options) {
    super('stagedArtifact', 'StagedArtifact', name, args, [], options);
  }
}

export class NodeSoftware extends LocalResource {
  declare readonly podSubnet: pulumi.Output<NodeOutputs['podSubnet']>;
  declare readonly podMtu: pulumi.Output<NodeOutputs['podMtu']>;

  constructor(name: string, args: Args<NodeInputs>, options: Options) {
    super('node', 'NodeSoftware', name, args, ['podSubnet', 'podMtu'], options);
  }
}

export class Sandbox extends LocalResource {
  declare readonly address: pulumi.Output<PodOutputs['address']>;
  declare readonly netns: pulumi.Output<PodOutputs['netns']>;

  constructor(name: string, args: Args<PodInputs>, options: Options) {
    super('pod', 'Sandbox', name, args, ['address', 'netns'], options);
  }
}

export class KubernetesArtifact extends LocalResource {
  declare readonly directory: pulumi.Output<KubernetesArtifactOutputs['directory']>;

  constructor(name: string, args: Args<KubernetesArtifactInputs>, options: Options) {
    // As with StoredArtifact.
    super('kubernetesArtifact', 'KubernetesArtifact', name, args, ['directory'], {
      ...options,
      deleteBeforeReplace: false,
    });
  }
}

export class StoredImage extends LocalResource {
  declare readonly file: pulumi.Output<StoredImageOutputs['file']>;

  constructor(name: string, args: Args<StoredImageInputs>, options: Options) {
    // As with StoredArtifact.
    super('storedImage', 'StoredImage', name, args, ['file'], { ...options, deleteBeforeReplace: false });
  }
}

export class Units extends LocalResource {
  constructor(name: string, args: Args<UnitsInputs>, options: Options) {
    super('units', 'Units', name, args, [], options);
  }
}

export class Cluster extends LocalResource {
  declare readonly podSubnets: pulumi.Output<ClusterOutputs['podSubnets']>;

  constructor(name: string, args: Args<ClusterInputs>, options: Options) {
    super('cluster', 'Cluster', name, args, ['podSubnets'], options);
  }
}

export class Published extends LocalResource {
  declare readonly listensOn: pulumi.Output<PublishedOutputs['listensOn']>;

  constructor(name: string, args: Args<PublishedInputs>, options: Options) {
    super('published', 'Published', name, args, ['listensOn'], options);
  }
}

/** flannel in a Kubernetes cluster, as a component of any Pulumi program. Nothing here looks at AWS or at this machine. */
import { CustomResource as CustomObject } from '@pulumi/kubernetes/apiextensions';
import { DaemonSet } from '@pulumi/kubernetes/apps/v1';
import { ConfigMap, Namespace, ServiceAccount } from '@pulumi/kubernetes/core/v1';
import { ClusterRole, ClusterRoleBinding } from '@pulumi/kubernetes/rbac/v1';
import * as pulumi from '@pulumi/pulumi';
import { type FlannelSettings, flannelObjects, type KubernetesObject } from './objects.ts';

export type FlannelArgs = FlannelSettings;

type Make = (name: string, object: KubernetesObject, options: pulumi.CustomResourceOptions) => pulumi.CustomResource;

// The objects are made and tested as plain values: the types of the SDK would say the same once more.
const MAKERS: Readonly<Record<string, Make>> = {
  Namespace: (name, object, options) => new Namespace(name, object as object, options),
  ServiceAccount: (name, object, options) => new ServiceAccount(name, object as object, options),
  ClusterRole: (name, object, options) => new ClusterRole(name, object as object, options),
  ClusterRoleBinding: (name, object, options) => new ClusterRoleBinding(name, object as never, options),
  ConfigMap: (name, object, options) => new ConfigMap(name, object as object, options),
  DaemonSet: (name, object, options) => new DaemonSet(name, object as never, options),
  PodMonitor: (name, object, options) => new CustomObject(name, object as never, options),
};

/**
 * Give the provider of the cluster, `{ provider }`. An update of the image or of the network config replaces flanneld node by node, each
 * when the one before it is ready; the update ends when all are.
 */
export class Flannel extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** Of the DaemonSet: what waits for it waits until flanneld is ready on every node. */
  readonly daemonSet: pulumi.Output<string>;

  constructor(name: string, args: FlannelArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:kubernetes:Flannel', name, {}, options);
    const byKind = registerObjects(name, flannelObjects(args), this);
    this.namespace = (byKind.get('Namespace') as Namespace).metadata.name;
    this.daemonSet = (byKind.get('DaemonSet') as DaemonSet).metadata.name;
    this.registerOutputs({ namespace: this.namespace, daemonSet: this.daemonSet });
  }
}

/** By their kinds, of which there is one each. In the order of the list: each may need what is before it, and is removed before it. */
export function registerObjects(
  name: string,
  objects: readonly KubernetesObject[],
  parent: pulumi.Resource,
): ReadonlyMap<string, pulumi.CustomResource> {
  const made = new Map<string, pulumi.CustomResource>();
  for (const object of objects) {
    const before = [...made.values()];
    const dependsOn = object.kind === 'DaemonSet' ? before : before.slice(0, 1);
    const resource = MAKERS[object.kind]!(`${name}-${object.kind.toLowerCase()}`, object, { parent, dependsOn });
    made.set(object.kind, resource);
  }
  return made;
}

/**
 * The code that a resource's state carries, written by hand: Pulumi keeps with every resource the text of the provider that
 * made it, and removes the resource by that. A text of ours only names the host package; where a state has another one, of
 * an older version or damaged, this takes its place.
 */
import type { Kind } from './host.ts';

/** The part of the type token after `pulumi-nodejs:dynamic/local:`. */
const KINDS: Readonly<Record<string, Kind>> = {
  VpcNetwork: 'vpc',
  Machine: 'machine',
  StoredArtifact: 'artifact',
  Authority: 'authority',
  Certificate: 'certificate',
  EtcdMember: 'etcdMember',
  EtcdKey: 'etcdKey',
  StagedArtifact: 'stagedArtifact',
  NodeSoftware: 'node',
  Sandbox: 'pod',
  KubernetesArtifact: 'kubernetesArtifact',
  StoredImage: 'storedImage',
  Units: 'units',
  Cluster: 'cluster',
  Published: 'published',
};

const TYPE_PREFIX = 'pulumi-nodejs:dynamic/local:';
const METHODS = ['check', 'diff', 'create', 'read', 'update', 'delete'];

/** Undefined for a type that is not of the local environment. */
export function kindOfType(type: string): Kind | undefined {
  return type.startsWith(TYPE_PREFIX) ? KINDS[type.slice(TYPE_PREFIX.length)] : undefined;
}

/** What Pulumi's provider process evaluates: `exports.handler()` gives the provider. */
export function providerText(kind: Kind): string {
  const methods = METHODS.map(
    (name) => `${name}: (...args) => require("@flannel-ts/infra/host").handlers.${kind}.${name}(...args)`,
  );
  return `exports.handler = () => ({\n  ${methods.join(',\n  ')},\n});\n`;
}

/** Whether the text finds its code by name, in whatever checkout and version runs it. */
export function namesHost(text: string): boolean {
  return text.includes('@flannel-ts/infra/host');
}

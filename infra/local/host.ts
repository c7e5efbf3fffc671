/**
 * All that the local environment may do to this machine. The providers in the program hold only the names of these; bundled
 * as dist/host.cjs, for Pulumi's provider process cannot load TypeScript.
 */
import { artifact } from './host/artifact-store.ts';
import { authority, certificate } from './host/certificates.ts';
import { cluster } from './host/cluster.ts';
import { etcdKey, etcdMember } from './host/etcd.ts';
import { storedImage } from './host/image-store.ts';
import { kubernetesArtifact } from './host/kubernetes-artifact.ts';
import { machine } from './host/machine.ts';
import { node, stagedArtifact } from './host/node.ts';
import { pod } from './host/pod.ts';
import { published } from './host/published.ts';
import type { Handler } from './host/resource.ts';
import { units } from './host/units.ts';
import { vpc } from './host/vpc.ts';

export { listLeftovers, sweep } from './host/sweep.ts';

export const handlers = {
  vpc,
  machine,
  artifact,
  authority,
  certificate,
  etcdMember,
  etcdKey,
  stagedArtifact,
  node,
  pod,
  kubernetesArtifact,
  storedImage,
  units,
  cluster,
  published,
} as const satisfies Record<string, Handler>;

export type Kind = keyof typeof handlers;

import type { Logger } from 'pino';
import type { KeptState } from '../kept-state.ts';
import type { AnnotationNames } from './annotations.ts';
import type { ApiClient } from './api.ts';
import type { KubeNode, NodeObject } from './node.ts';
import type { KubeTimings } from './watch.ts';

/** What every part of the Kubernetes subnet manager works with. */
export interface KubeContext {
  readonly client: ApiClient;
  readonly names: AnnotationNames;
  readonly read: (node: NodeObject) => KubeNode;
  readonly log: Logger;
  readonly timings: KubeTimings;
  readonly kept: KeptState;
  readonly setNetworkUnavailable: boolean;
}

export const nodePath = (name: string): string => `/api/v1/nodes/${encodeURIComponent(name)}`;

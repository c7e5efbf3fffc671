/** Who signs certificates, and for whom: the same question in every environment. */
import type * as pulumi from '@pulumi/pulumi';
import type { KeyPair } from './node/files.ts';

export type Usage = 'server' | 'client';

export interface Identity {
  readonly commonName: string;
  /** Kubernetes takes it for a group. */
  readonly organization?: string;
  readonly usages: readonly Usage[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

/** A KeyPair that is still to be made. */
export type Issued = { readonly [K in keyof KeyPair]: pulumi.Output<string> };

/** Trusted by those, and only by those, whose certificates it signs. What it issued is renewed by `up` before it ends. */
export interface Authority {
  /** Its own certificate. */
  readonly ca: pulumi.Output<string>;
  /** `name` tells the certificates of one authority apart. The key is secret. */
  issue(name: string, identity: Identity): Issued;
}

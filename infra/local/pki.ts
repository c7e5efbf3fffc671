/** The certificates of a stack: an authority for etcd and one for Kubernetes, and a certificate for each who talks to them. */
import * as pulumi from '@pulumi/pulumi';
import { ETCD_PEER_NAME, type KeyPair } from '../node/files.ts';
import type { Authority, Identity } from '../pki.ts';
import { Authority as AuthorityResource, Certificate } from './resources.ts';

const AUTHORITY_DAYS = 3650;
const VALID_DAYS = 365;
/** `up` renews what would end within this time. */
const RENEW_DAYS = 30;

export interface PkiArgs {
  readonly stack: string;
  /** "flannel STACK CA" by default. */
  readonly commonName?: string;
}

/** A certificate authority for one stack: nobody of another stack is let in. */
export class Pki extends pulumi.ComponentResource implements Authority {
  readonly ca: pulumi.Output<string>;
  private readonly authority: AuthorityResource;

  constructor(
    private readonly label: string,
    private readonly args: PkiArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:local:Pki', label, {}, options);
    const { stack, commonName = `flannel ${stack} CA` } = args;
    this.authority = new AuthorityResource(
      `${label}-ca`,
      { stack, commonName, validDays: AUTHORITY_DAYS },
      { parent: this },
    );
    this.ca = this.authority.certificate;
    this.registerOutputs({ ca: this.ca });
  }

  /** With which it signs. Secret, for those that sign in its name. */
  get signer(): pulumi.Output<KeyPair> {
    return pairOf(this.authority);
  }

  /** For a server that is reached by `address`. */
  server(name: string, address: string): pulumi.Output<KeyPair> {
    return this.issue(`server-${name}`, {
      commonName: name,
      usages: ['server'],
      dnsNames: [name],
      ipAddresses: [address],
    });
  }

  /** For a member of the etcd cluster, which is a server and a client to the others. */
  peer(name: string, address: string): pulumi.Output<KeyPair> {
    return this.issue(`peer-${name}`, {
      commonName: ETCD_PEER_NAME,
      usages: ['server', 'client'],
      dnsNames: [name],
      ipAddresses: [address],
    });
  }

  client(name: string): pulumi.Output<KeyPair> {
    return this.issue(`client-${name}`, { commonName: name, usages: ['client'] });
  }

  issue(
    name: string,
    { commonName, organization, usages, dnsNames = [], ipAddresses = [] }: Identity,
  ): pulumi.Output<KeyPair> {
    const issued = new Certificate(
      `${this.label}-${name}`,
      {
        stack: this.args.stack,
        commonName,
        // Left out where there are none: another input would renew the certificates of stacks of earlier versions.
        ...(organization !== undefined && { organizations: [organization] }),
        usages: [...usages],
        dnsNames: [...dnsNames],
        ipAddresses: [...ipAddresses],
        validDays: VALID_DAYS,
        renewDays: RENEW_DAYS,
        authorityCertificate: this.authority.certificate,
        authorityKey: this.authority.key,
      },
      { parent: this },
    );
    return pairOf(issued);
  }
}

/** A key that is never renewed, for what is signed with it is valid as long as it is. */
export function lastingPair(
  name: string,
  stack: string,
  commonName: string,
  parent: pulumi.Resource,
): pulumi.Output<KeyPair> {
  return pairOf(new AuthorityResource(name, { stack, commonName, validDays: AUTHORITY_DAYS }, { parent }));
}

function pairOf({ certificate, key }: AuthorityResource | Certificate): pulumi.Output<KeyPair> {
  return pulumi.all([certificate, pulumi.secret(key)]).apply(([certificate, key]) => ({ certificate, key }));
}

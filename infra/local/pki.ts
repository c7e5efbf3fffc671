/** The certificates of a stack: one authority, and a certificate for each who talks to etcd. */
import * as pulumi from '@pulumi/pulumi';
import { ETCD_PEER_NAME, type KeyPair } from '../node/files.ts';
import { Authority, Certificate } from './resources.ts';

const AUTHORITY_DAYS = 3650;
const VALID_DAYS = 365;
/** `up` renews what would end within this time. */
const RENEW_DAYS = 30;

export interface PkiArgs {
  readonly stack: string;
}

/** A certificate authority for one stack: nobody of another stack is let in. */
export class Pki extends pulumi.ComponentResource {
  readonly ca: pulumi.Output<string>;
  private readonly authority: Authority;

  constructor(
    private readonly label: string,
    private readonly args: PkiArgs,
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:local:Pki', label, {}, options);
    this.authority = new Authority(
      `${label}-ca`,
      { stack: args.stack, commonName: `flannel ${args.stack} CA`, validDays: AUTHORITY_DAYS },
      { parent: this },
    );
    this.ca = this.authority.certificate;
    this.registerOutputs({ ca: this.ca });
  }

  /** For a server that is reached by `address`. */
  server(name: string, address: string): pulumi.Output<KeyPair> {
    return this.issue(`server-${name}`, name, ['server'], [name], [address]);
  }

  /** For a member of the etcd cluster, which is a server and a client to the others. */
  peer(name: string, address: string): pulumi.Output<KeyPair> {
    return this.issue(`peer-${name}`, ETCD_PEER_NAME, ['server', 'client'], [name], [address]);
  }

  client(name: string): pulumi.Output<KeyPair> {
    return this.issue(`client-${name}`, name, ['client'], [], []);
  }

  private issue(
    name: string,
    commonName: string,
    usages: readonly ('server' | 'client')[],
    dnsNames: readonly string[],
    ipAddresses: readonly string[],
  ): pulumi.Output<KeyPair> {
    const { certificate, key } = new Certificate(
      `${this.label}-${name}`,
      {
        stack: this.args.stack,
        commonName,
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
    return pulumi.all([certificate, key]).apply(([certificate, key]) => ({ certificate, key }));
  }
}

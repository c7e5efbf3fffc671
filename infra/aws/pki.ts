/** The certificates of a stack in AWS, and the parameters by which machines get them. The keys are in the state, encrypted. */
import { Parameter } from '@pulumi/aws/ssm/parameter';
import * as pulumi from '@pulumi/pulumi';
import { CertRequest } from '@pulumi/tls/certRequest';
import { LocallySignedCert } from '@pulumi/tls/locallySignedCert';
import { PrivateKey } from '@pulumi/tls/privateKey';
import { SelfSignedCert } from '@pulumi/tls/selfSignedCert';
import type { Authority, Identity, Issued } from '../pki.ts';
import { named, stackId } from './tags.ts';

const AUTHORITY_HOURS = 10 * 365 * 24;
const VALID_HOURS = 365 * 24;
/** `up` renews what would end within this time; machines fetch it within a day. */
const RENEW_HOURS = 30 * 24;

const SIGN: readonly string[] = ['cert_signing', 'crl_signing', 'digital_signature'];
const USES: readonly string[] = ['digital_signature', 'key_encipherment'];

/** Nobody of another stack is let in. */
export class CertificateAuthority extends pulumi.ComponentResource implements Authority {
  readonly certificate: pulumi.Output<string>;
  private readonly key: PrivateKey;

  constructor(
    private readonly label: string,
    { commonName }: { readonly commonName: string },
    options?: pulumi.ComponentResourceOptions,
  ) {
    super('flannel:aws:CertificateAuthority', label, {}, options);
    this.key = privateKey(label, this);
    const { certPem } = new SelfSignedCert(
      label,
      {
        privateKeyPem: this.key.privateKeyPem,
        isCaCertificate: true,
        setSubjectKeyId: true,
        subject: { commonName },
        allowedUses: [...SIGN],
        validityPeriodHours: AUTHORITY_HOURS,
      },
      { parent: this },
    );
    this.certificate = certPem;
    this.registerOutputs({ certificate: certPem });
  }

  get ca(): pulumi.Output<string> {
    return this.certificate;
  }

  issue(name: string, { commonName, organization, usages, dnsNames = [], ipAddresses = [] }: Identity): Issued {
    const label = `${this.label}-${name}`;
    const { privateKeyPem } = privateKey(label, this);
    const { certRequestPem } = new CertRequest(
      label,
      {
        privateKeyPem,
        subject: { commonName, ...(organization !== undefined && { organization }) },
        dnsNames: [...dnsNames],
        ipAddresses: [...ipAddresses],
      },
      { parent: this },
    );
    const { certPem } = new LocallySignedCert(
      label,
      {
        certRequestPem,
        caPrivateKeyPem: this.key.privateKeyPem,
        caCertPem: this.certificate,
        allowedUses: [...USES, ...usages.map((usage) => `${usage}_auth`)],
        validityPeriodHours: VALID_HOURS,
        earlyRenewalHours: RENEW_HOURS,
      },
      { parent: this },
    );
    return { certificate: certPem, key: pulumi.secret(privateKeyPem) };
  }
}

function privateKey(label: string, parent: pulumi.Resource): PrivateKey {
  return new PrivateKey(label, { algorithm: 'ECDSA', ecdsaCurve: 'P256' }, { parent });
}

export interface StackParametersArgs {
  /** What the names begin with; an instance role may read what is below. */
  readonly path: string;
  readonly keyArn: pulumi.Input<string>;
}

/** SSM parameters below a path. Their names are known before they are made, for they stand in user-data. */
export class StackParameters {
  readonly made: Parameter[] = [];

  constructor(
    private readonly parent: pulumi.Resource,
    private readonly args: StackParametersArgs,
  ) {}

  /** Encrypted with the stack's key. */
  secret(name: string, value: pulumi.Input<string>): string {
    return this.add(name, { type: 'SecureString', keyId: this.args.keyArn, value: pulumi.secret(value) });
  }

  /** For what anybody may read, as certificates and configuration. */
  plain(name: string, value: pulumi.Input<string>): string {
    return this.add(name, { type: 'String', insecureValue: value });
  }

  private add(name: string, value: { type: 'String' | 'SecureString' } & Record<string, pulumi.Input<string>>): string {
    const path = `${this.args.path}/${name}`;
    const label = `parameter${path.replaceAll('/', '-').replace(`-${stackId().replace('/', '-')}-`, '-')}`;
    this.made.push(new Parameter(label, { name: path, ...value, tags: named(path) }, { parent: this.parent }));
    return path;
  }
}

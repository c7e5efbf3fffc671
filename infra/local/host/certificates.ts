/** The stack's own certification authority. Its certificates live in the state, so they stay the same from one `up` to the next. */
import 'reflect-metadata'; // @peculiar/x509 does not load without it
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Usage } from '../../pki.ts';
import { handler } from './resource.ts';

const DAY_MS = 86_400_000;
const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
/** Clocks of machines differ a little. */
const BACKDATE_MS = 3_600_000;

export interface AuthorityInputs {
  readonly stack: string;
  readonly commonName: string;
  readonly validDays: number;
}

export interface IssuedOutputs {
  readonly certificate: string;
  /** PKCS #8. Secret. */
  readonly key: string;
  readonly notAfter: string;
}

export interface CertificateInputs {
  readonly stack: string;
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly usages: readonly Usage[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly validDays: number;
  /** Renewed so long before its end. */
  readonly renewDays: number;
  readonly authorityCertificate: string;
  /** Secret. */
  readonly authorityKey: string;
}

export const authority = handler<AuthorityInputs, IssuedOutputs>({
  id: ({ stack, commonName }) => `${stack}/${commonName}`,
  identity: ['stack', 'commonName'],
  ensure: (inputs, old) => (old?.certificate ? kept(old) : issueAuthority(inputs)),
  observe: async () => ({ present: true }),
  remove: async () => {},
});

export const certificate = handler<CertificateInputs, IssuedOutputs>({
  id: ({ stack, commonName }) => `${stack}/${commonName}`,
  identity: ['stack', 'commonName'],
  // The key goes with its certificate, and that is compared.
  ignored: ['authorityKey'],
  stale: ({ notAfter, renewDays }) => Date.parse(notAfter) - Date.now() < renewDays * DAY_MS,
  ensure: (inputs) => issueCertificate(inputs),
  observe: async () => ({ present: true }),
  remove: async () => {},
});

async function kept({ certificate, key, notAfter }: IssuedOutputs): Promise<IssuedOutputs> {
  return { certificate, key, notAfter };
}

export async function issueAuthority({ commonName, validDays }: AuthorityInputs): Promise<IssuedOutputs> {
  cryptoProvider.set(webcrypto as never);
  const keys = await newKeys();
  const made = await X509CertificateGenerator.createSelfSigned({
    ...life(validDays),
    name: `CN=${commonName}`,
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      // No authority below this one.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return issued(made, keys);
}

export async function issueCertificate(inputs: CertificateInputs): Promise<IssuedOutputs> {
  cryptoProvider.set(webcrypto as never);
  const signer = new X509Certificate(inputs.authorityCertificate);
  const keys = await newKeys();
  const made = await X509CertificateGenerator.create({
    ...life(inputs.validDays, signer.notAfter),
    subject: subjectOf(inputs),
    issuer: signer.subject,
    publicKey: keys.publicKey,
    signingKey: await importKey(inputs.authorityKey),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(inputs.usages.map((usage) => EXTENDED_USAGE[usage])),
      ...alternativeNames(inputs),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(signer.publicKey),
    ],
  });
  return issued(made, keys);
}

function subjectOf({ commonName, organizations = [] }: CertificateInputs): JsonName {
  return [...(organizations.length > 0 ? [{ O: [...organizations] }] : []), { CN: [commonName] }];
}

const EXTENDED_USAGE: Readonly<Record<Usage, string>> = {
  server: ExtendedKeyUsage.serverAuth,
  client: ExtendedKeyUsage.clientAuth,
};

function alternativeNames({ dnsNames, ipAddresses }: CertificateInputs): Extension[] {
  const names: JsonGeneralName[] = [
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)];
}

/** Never beyond the end of the certificate that signs. */
function life(validDays: number, latest?: Date) {
  const end = Date.now() + validDays * DAY_MS;
  return {
    // A positive number of at most 20 octets, unique without bookkeeping (RFC 5280, 4.1.2.2).
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    notBefore: new Date(Date.now() - BACKDATE_MS),
    notAfter: new Date(Math.min(end, latest?.getTime() ?? end)),
  };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = PemConverter.decode(pem);
  return webcrypto.subtle.importKey('pkcs8', der!, KEY, false, ['sign']) as Promise<webcrypto.CryptoKey>;
}

async function issued(made: X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<IssuedOutputs> {
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate: `${made.toString('pem')}\n`,
    key: `${PemConverter.encode(der, PemConverter.PrivateKeyTag)}\n`,
    notAfter: made.notAfter.toISOString(),
  };
}

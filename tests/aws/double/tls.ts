/** The tls provider's resources, with real keys and certificates. All its properties replace, but for the time of renewal. */
import 'reflect-metadata';
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Kind } from './kind.ts';
import { type Bag, isBag, Secret, text, texts } from './values.ts';

const CURVES: Readonly<Record<string, string>> = { P256: 'P-256', P384: 'P-384' };
const USAGES: Readonly<Record<string, x509.KeyUsageFlags>> = {
  digital_signature: x509.KeyUsageFlags.digitalSignature,
  key_encipherment: x509.KeyUsageFlags.keyEncipherment,
  cert_signing: x509.KeyUsageFlags.keyCertSign,
  crl_signing: x509.KeyUsageFlags.cRLSign,
};
const EXTENDED: Readonly<Record<string, string>> = {
  server_auth: '1.3.6.1.5.5.7.3.1',
  client_auth: '1.3.6.1.5.5.7.3.2',
};

function makeKey(inputs: Bag): Bag {
  const algorithm = text(inputs, 'algorithm');
  if (algorithm !== 'ECDSA') throw new Error(`This test double makes ECDSA keys, not ${algorithm}`);
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: CURVES[text(inputs, 'ecdsaCurve') ?? 'P224']!,
  });
  const pem = (key: KeyObject, type: 'sec1' | 'pkcs8' | 'spki'): string =>
    key.export({ type: type as 'pkcs8', format: 'pem' }) as string;
  return {
    privateKeyPem: new Secret(pem(privateKey, 'sec1')),
    privateKeyPemPkcs8: new Secret(pem(privateKey, 'pkcs8')),
    privateKeyOpenssh: new Secret(''),
    publicKeyPem: pem(publicKey, 'spki'),
    publicKeyOpenssh: '',
    publicKeyFingerprintMd5: '',
    publicKeyFingerprintSha256: createHash('sha256').update(pem(publicKey, 'spki')).digest('hex'),
    rsaBits: 2048,
  };
}

async function importPair(pem: string): Promise<{
  readonly keys: webcrypto.CryptoKeyPair;
  readonly algorithm: webcrypto.EcdsaParams & { namedCurve: string };
}> {
  const { createPrivateKey, createPublicKey } = await import('node:crypto');
  const key = createPrivateKey(pem);
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256';
  const algorithm = { name: 'ECDSA', namedCurve, hash: 'SHA-256' };
  const subtle = webcrypto.subtle;
  const privateKey = await subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), algorithm, true, [
    'sign',
  ]);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const publicKey = await subtle.importKey('spki', spki, algorithm, true, ['verify']);
  return { keys: { privateKey, publicKey } as webcrypto.CryptoKeyPair, algorithm };
}

function subjectOf(inputs: Bag): string {
  const { subject } = inputs;
  if (!isBag(subject)) return '';
  const escaped = (value: string): string => value.replaceAll(/[,+"\\<>;]/g, '\\$&');
  const parts = [
    ...texts(subject.commonName).map((value) => `CN=${escaped(value)}`),
    ...texts(subject.organization).map((value) => `O=${escaped(value)}`),
    ...texts(subject.organizationalUnit).map((value) => `OU=${escaped(value)}`),
  ];
  return parts.join(', ');
}

function alternativeNames(inputs: Bag): x509.Extension[] {
  const names: x509.JsonGeneralNames = [
    ...texts(inputs.dnsNames).map((value) => ({ type: 'dns' as const, value })),
    ...texts(inputs.ipAddresses).map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)];
}

function usageExtensions(inputs: Bag): x509.Extension[] {
  const uses = texts(inputs.allowedUses);
  const unknown = uses.find((use) => !(use in USAGES) && !(use in EXTENDED));
  if (unknown !== undefined) throw new Error(`This test double knows no use "${unknown}" of certificates`);
  const flags = uses.reduce((sum, use) => sum | (USAGES[use] ?? 0), 0);
  const extended = uses.flatMap((use) => EXTENDED[use] ?? []);
  return [
    new x509.BasicConstraintsExtension(inputs.isCaCertificate === true, undefined, true),
    ...(flags === 0 ? [] : [new x509.KeyUsagesExtension(flags, true)]),
    ...(extended.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension(extended)]),
  ];
}

function validity(inputs: Bag): { readonly notBefore: Date; readonly notAfter: Date } {
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000);
  return { notBefore, notAfter: new Date(notBefore.getTime() + Number(inputs.validityPeriodHours) * 3_600_000) };
}

function described(certificate: x509.X509Certificate): Bag {
  return {
    certPem: `${certificate.toString('pem')}\n`,
    keyAlgorithm: 'ECDSA',
    readyForRenewal: false,
    validityStartTime: certificate.notBefore.toISOString(),
    validityEndTime: certificate.notAfter.toISOString(),
  };
}

async function selfSigned(inputs: Bag): Promise<Bag> {
  const { keys, algorithm } = await importPair(text(inputs, 'privateKeyPem')!);
  const extensions = [...usageExtensions(inputs), ...alternativeNames(inputs)];
  const more = { serialNumber: randomBytes(8).toString('hex'), signingAlgorithm: algorithm, extensions };
  return described(
    await x509.X509CertificateGenerator.createSelfSigned({
      name: subjectOf(inputs),
      keys,
      ...validity(inputs),
      ...more,
    }),
  );
}

async function request(inputs: Bag): Promise<Bag> {
  const { keys, algorithm } = await importPair(text(inputs, 'privateKeyPem')!);
  const name = subjectOf(inputs);
  const made = await x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: algorithm,
    extensions: alternativeNames(inputs),
  });
  return { certRequestPem: `${made.toString('pem')}\n`, keyAlgorithm: 'ECDSA' };
}

async function locallySigned(inputs: Bag): Promise<Bag> {
  const asked = new x509.Pkcs10CertificateRequest(text(inputs, 'certRequestPem')!);
  if (!(await asked.verify())) throw new Error('The certificate request is not signed by its key');
  const { keys, algorithm } = await importPair(text(inputs, 'caPrivateKeyPem')!);
  const authority = new x509.X509Certificate(text(inputs, 'caCertPem')!);
  const names = asked.extensions.filter((each) => each instanceof x509.SubjectAlternativeNameExtension);
  const made = await x509.X509CertificateGenerator.create({
    subject: asked.subject,
    issuer: authority.subject,
    publicKey: asked.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    serialNumber: randomBytes(8).toString('hex'),
    ...validity(inputs),
    extensions: [...usageExtensions(inputs), ...names],
  });
  if (!(await made.verify({ publicKey: await authority.publicKey.export(), signatureOnly: true }))) {
    throw new Error("The authority's key does not belong to its certificate");
  }
  return { ...described(made), caKeyAlgorithm: 'ECDSA' };
}

function kind(name: string, outputs: NonNullable<Kind['outputs']>, replaces: Kind['replaces']): Kind {
  const type = `tls:index/${name[0]!.toLowerCase()}${name.slice(1)}:${name}`;
  return { type, untagged: true, id: (_, { cloud }) => cloud.newId(name), replaces, outputs };
}

const CERTIFICATE = ['allowedUses', 'dnsNames', 'ipAddresses', 'isCaCertificate', 'privateKeyPem', 'setAuthorityKeyId'];
const SIGNED = ['allowedUses', 'caCertPem', 'caPrivateKeyPem', 'certRequestPem', 'isCaCertificate', 'setSubjectKeyId'];

export const TLS: readonly Kind[] = [
  kind('PrivateKey', makeKey, 'all'),
  kind('SelfSignedCert', selfSigned, [...CERTIFICATE, 'setSubjectKeyId', 'subject', 'uris', 'validityPeriodHours']),
  kind('CertRequest', request, 'all'),
  kind('LocallySignedCert', locallySigned, [...SIGNED, 'validityPeriodHours']),
];

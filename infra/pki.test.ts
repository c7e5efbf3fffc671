/** What every authority does, with real certificates: of this machine's own issuer, and of a double of the tls provider. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as pulumi from '@pulumi/pulumi';
import { specialSigKey } from '@pulumi/pulumi/runtime/rpc';
import { TLS } from '../tests/aws/double/tls.ts';
import { type Bag, Secret } from '../tests/aws/double/values.ts';
import { CertificateAuthority } from './aws/pki.ts';
import { authority, certificate } from './local/host/certificates.ts';
import { Pki } from './local/pki.ts';
import type { Authority, Identity } from './pki.ts';

jest.setTimeout(60_000); // Pulumi serialises providers, which takes seconds on a busy machine
jest.mock('@flannel-ts/infra/host', () => ({}), { virtual: true });

const DAY_MS = 86_400_000;
const inputsByName = new Map<string, Bag>();

beforeAll(async () => {
  await pulumi.runtime.setMocks({
    call: () => ({}),
    newResource: async ({ type, name, inputs: given }) => {
      const inputs = withoutSecrets(given) as Bag;
      if (!type.endsWith(':PrivateKey')) inputsByName.set(name, inputs);
      return { id: `${name}-id`, state: { ...inputs, ...(await make(type, inputs)) } };
    },
  });
});

/** Mocks are given secrets in the form in which a provider gets them. */
function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  if (specialSigKey in value && 'value' in value) return value.value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutSecrets(inner)]));
}

async function make(type: string, inputs: Bag): Promise<object> {
  if (type.endsWith('local:Authority')) return (await authority.create({ ...inputs })).outs;
  if (type.endsWith('local:Certificate')) return (await certificate.create({ ...inputs })).outs;
  const kind = TLS.find((each) => each.type === type);
  const made = await kind?.outputs?.(inputs, 'id', {} as never);
  return Object.fromEntries(
    Object.entries(made ?? {}).map(([key, value]) => [key, value instanceof Secret ? value.value : value]),
  );
}

const value = <T>(output: pulumi.Input<T>) =>
  new Promise<T>((resolve) => void pulumi.output(output).apply((known) => resolve(known as T)));

async function issue(from: Authority, name: string, identity: Identity) {
  const { certificate: pem, key } = from.issue(name, identity);
  return {
    made: new X509Certificate(await value(pem)),
    key: createPrivateKey(await value(key)),
    secret: await pulumi.isSecret(pulumi.output(key)),
    signer: new X509Certificate(await value(from.ca)),
  };
}

const AUTHORITIES: Readonly<Record<string, (name: string) => Authority>> = {
  'of this machine': (name) => new Pki(name, { stack: 'dev', commonName: `authority ${name}` }),
  'of the tls provider': (name) => new CertificateAuthority(name, { commonName: `authority ${name}` }),
};

describe.each(Object.keys(AUTHORITIES))('an authority %s', (kind) => {
  const newAuthority = AUTHORITIES[kind]!;
  const prefix = kind.replaceAll(' ', '-');

  test('signs a client of an organization, with a secret key of its own', async () => {
    const own = newAuthority(`${prefix}-clients`);
    const identity = { commonName: 'system:node:node-0', organization: 'system:nodes', usages: ['client'] } as const;
    const { made, key, secret, signer } = await issue(own, 'client', identity);
    expect(made.subject.split('\n').sort()).toEqual(['CN=system:node:node-0', 'O=system:nodes']);
    expect(made.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']); // clientAuth
    expect(made.ca).toBe(false);
    expect(made.checkIssued(signer) && made.verify(signer.publicKey)).toBe(true);
    expect(made.checkPrivateKey(key)).toBe(true);
    expect(secret).toBe(true);
    const other = newAuthority(`${prefix}-others`);
    expect(made.verify(new X509Certificate(await value(other.ca)).publicKey)).toBe(false);
  });

  test('signs a server and client by its names and addresses, and no organization that nobody asked for', async () => {
    const own = newAuthority(`${prefix}-servers`);
    const names = { dnsNames: ['kubernetes', 'kubernetes.default'], ipAddresses: ['10.96.0.1'] };
    const { made } = await issue(own, 'both', { commonName: 'kube-apiserver', usages: ['server', 'client'], ...names });
    expect(made.subject).toBe('CN=kube-apiserver');
    expect(made.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect([made.checkHost('kubernetes.default'), made.checkIP('10.96.0.1')]).toEqual([
      'kubernetes.default',
      '10.96.0.1',
    ]);
    expect(made.checkIP('10.96.0.2')).toBeUndefined();
  });

  test('signs for a year, and renews in the last month of it', async () => {
    const own = newAuthority(`${prefix}-renewed`);
    const { made, signer } = await issue(own, 'renewed', { commonName: 'a', usages: ['client'] });
    const days = (Date.parse(made.validTo) - Date.now()) / DAY_MS;
    expect(days).toBeGreaterThan(364);
    expect(days).toBeLessThan(366);
    expect(Date.parse(signer.validTo) - Date.now()).toBeGreaterThan(9 * 365 * DAY_MS);
    const { renewDays, earlyRenewalHours } = inputsByName.get(`${prefix}-renewed-renewed`)!;
    expect(renewDays ?? Number(earlyRenewalHours) / 24).toBe(30);
  });
});

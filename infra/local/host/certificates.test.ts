import { X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { authority, type CertificateInputs, certificate, issueAuthority, issueCertificate } from './certificates.ts';

const AUTHORITY = { stack: 'dev', commonName: 'flannel dev CA', validDays: 3650 };

async function issue(changes: Partial<CertificateInputs> = {}) {
  const ca = await issueAuthority(AUTHORITY);
  const inputs: CertificateInputs = {
    stack: 'dev',
    commonName: 'etcd-0',
    usages: ['server'],
    dnsNames: ['etcd-0'],
    ipAddresses: ['127.0.0.1'],
    validDays: 365,
    renewDays: 30,
    authorityCertificate: ca.certificate,
    authorityKey: ca.key,
    ...changes,
  };
  return { ca, inputs, leaf: await issueCertificate(inputs) };
}

describe('issueAuthority()', () => {
  test('makes an authority that no other authority can stand below', async () => {
    const { certificate: pem } = await issueAuthority(AUTHORITY);
    const ca = new X509Certificate(pem);
    expect(ca.ca).toBe(true);
    expect(ca.subject).toBe('CN=flannel dev CA');
    expect(ca.checkIssued(ca)).toBe(true);
    expect(ca.verify(ca.publicKey)).toBe(true);
    expect(ca.toLegacyObject()).toMatchObject({ bits: 256 });
  });
});

describe('issueCertificate()', () => {
  test('signs names, addresses and purposes', async () => {
    const { ca, leaf } = await issue({ usages: ['server', 'client'] });
    const [signer, made] = [new X509Certificate(ca.certificate), new X509Certificate(leaf.certificate)];
    expect(made.checkIssued(signer) && made.verify(signer.publicKey)).toBe(true);
    expect(made.ca).toBe(false);
    expect(made.subjectAltName).toBe('DNS:etcd-0, IP Address:127.0.0.1');
    expect(made.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(made.checkPrivateKey(require('node:crypto').createPrivateKey(leaf.key))).toBe(true);
  });

  test('leaves out the alternative names of a client that has none', async () => {
    const { leaf } = await issue({ usages: ['client'], dnsNames: [], ipAddresses: [] });
    expect(new X509Certificate(leaf.certificate).subjectAltName).toBeUndefined();
  });

  test('never outlives the authority', async () => {
    const ca = await issueAuthority({ ...AUTHORITY, validDays: 10 });
    const { leaf } = await issue({ authorityCertificate: ca.certificate, authorityKey: ca.key });
    expect(leaf.notAfter).toBe(ca.notAfter);
  });

  test('lets a server and a client of one stack meet, and a client of another stack not', async () => {
    const { ca, leaf, inputs } = await issue();
    const client = await issueCertificate({
      ...inputs,
      commonName: 'node-0',
      usages: ['client'],
      dnsNames: [],
      ipAddresses: [],
    });
    const stranger = await issue({ usages: ['client'] });
    const server = createServer(
      { cert: leaf.certificate, key: leaf.key, ca: ca.certificate, requestCert: true },
      (socket) => socket.end('welcome'),
    );
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const greet = (cert: string, key: string) =>
      new Promise<string>((resolve, reject) => {
        const socket: TLSSocket = tlsConnect({ host: '127.0.0.1', port, ca: ca.certificate, cert, key });
        socket
          .on('data', (text) => resolve(String(text)))
          .on('error', reject)
          .on('close', () => reject(new Error('closed')));
      });
    try {
      await expect(greet(client.certificate, client.key)).resolves.toBe('welcome');
      await expect(greet(stranger.leaf.certificate, stranger.leaf.key)).rejects.toThrow();
    } finally {
      server.close();
    }
  });
});

describe('the certificate resources', () => {
  test('keep their certificates from one up to the next', async () => {
    const { outs } = await authority.create(AUTHORITY);
    await expect(authority.diff('', outs, AUTHORITY)).resolves.toMatchObject({ changes: false });
    const updated = await authority.update('', outs, { ...AUTHORITY, validDays: 100 });
    expect(updated.outs).toMatchObject({ certificate: outs.certificate, key: outs.key });
  });

  test('are renewed in time', async () => {
    const { inputs } = await issue({ validDays: 29 });
    const { outs } = await certificate.create({ ...inputs });
    await expect(certificate.diff('', outs, { ...inputs })).resolves.toMatchObject({ changes: true, replaces: [] });
    const fresh = await certificate.create({ ...inputs, validDays: 31 });
    await expect(certificate.diff('', fresh.outs, { ...inputs, validDays: 31 })).resolves.toMatchObject({
      changes: false,
    });
  });
});

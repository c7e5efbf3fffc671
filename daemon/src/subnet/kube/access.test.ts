import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fromKubeconfig, openAccess } from './access.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'access-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const base64 = (text: string) => Buffer.from(text).toString('base64');
const KUBECONFIG = `
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: there, context: {cluster: c2, user: u2}}
- {name: here, context: {cluster: c1, user: u1}}
clusters:
- {name: c1, cluster: {server: "https://10.0.0.1:6443", certificate-authority-data: ${base64('CA')}, tls-server-name: api}}
- {name: c2, cluster: {server: "https://[fd00::1]:6443/k8s", insecure-skip-tls-verify: true}}
users:
- {name: u1, user: {client-certificate: node.pem, client-key: node.key}}
- {name: u2, user: {token: secret}}
`;

test('fromKubeconfig() takes the current context, and reads files beside it each time', () => {
  const access = fromKubeconfig(path.join(directory, 'config'), undefined, KUBECONFIG);
  expect(access.server.href).toBe('https://10.0.0.1:6443/');
  expect(() => access.tls()).toThrow('node.pem');
  for (const name of ['node.pem', 'node.key']) writeFileSync(path.join(directory, name), name);
  expect(access.tls()).toEqual({ ca: 'CA', cert: 'node.pem', key: 'node.key', servername: 'api' });
  writeFileSync(path.join(directory, 'node.pem'), 'renewed');
  expect(access.tls().cert).toBe('renewed');
  expect(access.authorization()).toBeUndefined();
});

test('fromKubeconfig() knows tokens, and servers whose certificate is not looked at', () => {
  const text = KUBECONFIG.replace('current-context: here', 'current-context: there');
  const access = fromKubeconfig('/none', undefined, text);
  expect(access.tls()).toEqual({ rejectUnauthorized: false });
  expect(access.authorization()).toBe('Bearer secret');
  expect(fromKubeconfig('/none', 'https://192.0.2.1', text).server.host).toBe('192.0.2.1');
});

test.each([
  ['current-context: here', 'current-context: nowhere', 'The context "nowhere"'],
  ['cluster: c1, user: u1', 'cluster: c9, user: u1', 'The cluster "c9"'],
  ['client-certificate: node.pem', 'exec: {command: aws}', 'a program (exec)'],
  ['server: "https://10.0.0.1:6443", ', '', 'has no server'],
  ['https://10.0.0.1:6443', 'ftp://10.0.0.1', 'Invalid URL'],
  ['apiVersion: v1', '"', 'neither YAML nor JSON'],
])('fromKubeconfig() refuses a file with %j as %j', (from, to, message) => {
  const text = KUBECONFIG.replace(from, to);
  expect(() => fromKubeconfig('/none', undefined, text)).toThrow(message);
  expect(() => fromKubeconfig('/none', undefined, text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('openAccess() of a pod reads its token again', () => {
  for (const name of ['ca.crt', 'token']) writeFileSync(path.join(directory, name), `${name}\n`);
  const access = openAccess({ service: { host: 'fd00::1', port: '443' } }, directory);
  expect(access.server.host).toBe('[fd00::1]');
  expect(access.tls()).toEqual({ ca: 'ca.crt\n' });
  expect(access.authorization()).toBe('Bearer token');
  writeFileSync(path.join(directory, 'token'), 'another');
  expect(access.authorization()).toBe('Bearer another');
});

test('openAccess() without any way to an API server says what to set', () => {
  expect(() => openAccess({})).toThrow('set -kubeconfig-file or -kube-api-url');
  expect(openAccess({ apiUrl: '127.0.0.1:8080' }).server.href).toBe('http://127.0.0.1:8080/');
});

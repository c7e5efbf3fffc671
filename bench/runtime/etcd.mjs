/** A real etcd on the loopback device that demands client certificates, as flannel's clusters have it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @param {string} directory for its data and keys
 * @returns {Promise<{endpoint: string, tlsDirectory: string, version: string, stop: () => Promise<void>}>}
 */
export async function startEtcd(directory) {
  makeCertificates(directory);
  const [client, peer] = [await freePort(), await freePort()];
  // By name: etcd3's own connections name an address in the TLS handshake, which Bun refuses.
  const endpoint = `https://localhost:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const args = ['--name', 'probe', '--data-dir', join(directory, 'etcd')];
  args.push('--listen-client-urls', endpoint, '--advertise-client-urls', endpoint, '--listen-peer-urls', peerUrl);
  args.push('--initial-advertise-peer-urls', peerUrl, '--initial-cluster', `probe=${peerUrl}`, '--log-level', 'error');
  args.push('--cert-file', join(directory, 'server.crt'), '--key-file', join(directory, 'server.key'));
  args.push('--trusted-ca-file', join(directory, 'ca.crt'), '--client-cert-auth');
  const server = spawn('etcd', args, { stdio: 'ignore' });
  const exited = once(server, 'exit');
  const stop = async () => {
    server.kill('SIGTERM');
    await exited;
  };
  try {
    await Promise.race([
      answering(directory, endpoint),
      exited.then(() => Promise.reject(new Error('etcd has ended by itself'))),
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  const version = /etcd Version: (\S+)/.exec(execFileSync('etcd', ['--version'], { encoding: 'utf8' }))?.[1] ?? '';
  return { endpoint, tlsDirectory: directory, version, stop };
}

/**
 * @param {string} directory
 * @param {string} endpoint
 */
async function answering(directory, endpoint) {
  const file = (/** @type {string} */ name) => join(directory, name);
  const args = [
    '--endpoints',
    endpoint,
    '--cacert',
    file('ca.crt'),
    '--cert',
    file('client.crt'),
    '--key',
    file('client.key'),
  ];
  for (let attempt = 0; ; attempt++) {
    try {
      execFileSync('etcdctl', [...args, 'endpoint', 'health'], {
        stdio: 'ignore',
        env: { ...process.env, ETCDCTL_API: '3' },
      });
      return;
    } catch (error) {
      if (attempt === 50) throw error;
      await sleep(100);
    }
  }
}

/** @param {string} directory */
function makeCertificates(directory) {
  const openssl = (/** @type {string[]} */ ...args) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=probe CA', '-days', '2');
  for (const [name, use] of [
    ['server', 'serverAuth'],
    ['client', 'clientAuth'],
  ]) {
    const extensions = ['-addext', 'subjectAltName=DNS:localhost', '-addext', `extendedKeyUsage=${use}`];
    const issuer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-x509', '-days', '2'];
    openssl(
      'req',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-subj',
      `/CN=${name}`,
      ...extensions,
      ...issuer,
    );
  }
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('A TCP socket has no port');
  return address.port;
}

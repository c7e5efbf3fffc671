/** A real etcd of a test's own: on loopback (or in a namespace), with its own ports and data. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface EtcdSetup {
  /** Path of the namespace to run in, with `host` an address there. */
  readonly netns?: string;
  readonly host?: string;
  /** A free one otherwise; in a namespace of a test's own every port is free. */
  readonly clientPort?: number;
  /** One of a cluster of several. */
  readonly member?: { readonly name: string; readonly peerPort: number; readonly cluster: string };
  /** More flags for etcd. */
  readonly flags?: readonly string[];
  /** More flags for etcdctl. */
  readonly ctlFlags?: readonly string[];
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string; readonly clientAuth: boolean };
}

export class EtcdServer {
  private child: ChildProcess | undefined;
  private readonly dataDir = mkdtempSync(path.join(tmpdir(), 'fltest-etcd-'));

  private constructor(
    private readonly setup: EtcdSetup,
    readonly clientPort: number,
    private readonly peerPort: number,
  ) {}

  static async start(setup: EtcdSetup = {}): Promise<EtcdServer> {
    const [clientPort, peerPort] = await freePorts(2);
    const server = new EtcdServer(setup, setup.clientPort ?? clientPort!, setup.member?.peerPort ?? peerPort!);
    // A member alone is not healthy before the others are there.
    if (setup.member) await server.startUnchecked();
    else await server.start();
    return server;
  }

  get endpoint(): string {
    return `${this.setup.tls ? 'https' : 'http'}://${this.setup.host ?? '127.0.0.1'}:${this.clientPort}`;
  }

  async start(): Promise<void> {
    await this.startUnchecked();
    await this.waitReady();
  }

  /** For a server whose health etcdctl may not ask for. */
  async startUnchecked(): Promise<void> {
    const { netns, tls, member, flags = [] } = this.setup;
    const peerUrl = `http://127.0.0.1:${this.peerPort}`;
    const urls = this.endpoint;
    const argv = [
      'etcd',
      `--name=${member?.name ?? 'fltest'}`,
      `--data-dir=${this.dataDir}`,
      '--logger=zap',
      '--log-level=error',
    ];
    argv.push(`--listen-client-urls=${urls}`, `--advertise-client-urls=${urls}`, `--listen-peer-urls=${peerUrl}`);
    argv.push(
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=${member?.cluster ?? `fltest=${peerUrl}`}`,
    );
    argv.push('--heartbeat-interval=100', '--election-timeout=1000', '--unsafe-no-fsync');
    if (tls) argv.push(`--cert-file=${tls.cert}`, `--key-file=${tls.key}`);
    // With --trusted-ca-file etcd asks for a client certificate, whatever --client-cert-auth says.
    if (tls?.clientAuth) argv.push(`--trusted-ca-file=${tls.ca}`, '--client-cert-auth');
    argv.push(...flags);
    if (netns) argv.unshift('nsenter', `--net=${netns}`);
    this.child = spawn(argv[0]!, argv.slice(1), { stdio: 'ignore' });
  }

  /** SIGKILL: an outage. `start()` brings it back with its data. */
  async stop(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }

  /** An etcd that lost its data, at the same address. */
  async startEmpty(): Promise<void> {
    await this.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
    mkdirSync(this.dataDir, { mode: 0o700 });
    await this.start();
  }

  /** Keeps its data of this moment for restore(): etcd stands still meanwhile. */
  saveData(): void {
    this.pause();
    rmSync(this.savedDir, { recursive: true, force: true });
    cpSync(this.dataDir, this.savedDir, { recursive: true });
    this.resume();
  }

  /** Goes back to the data of saveData(), as after a restored backup. */
  async restore(): Promise<void> {
    await this.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
    cpSync(this.savedDir, this.dataDir, { recursive: true });
    await this.start();
  }

  private get savedDir(): string {
    return `${this.dataDir}-saved`;
  }

  /** A member that accepts connections and says nothing. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async destroy(): Promise<void> {
    this.resume();
    await this.stop();
    for (const directory of [this.dataDir, this.savedDir]) rmSync(directory, { recursive: true, force: true });
  }

  etcdctl(...args: string[]): string {
    return execFileSync('nsenter', [...this.enter(), 'etcdctl', ...this.access(), ...args], {
      encoding: 'utf8',
      env: { ...process.env, ETCDCTL_API: '3' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  put(key: string, value: string): void {
    this.etcdctl('put', key, value);
  }

  /** As flannel writes its leases: with an etcd lease of its own. */
  putLeased(key: string, value: string, ttlSeconds = 86_400): void {
    this.etcdctl('put', key, value, `--lease=${this.grant(ttlSeconds)}`);
  }

  /** The id of a new etcd lease, in hexadecimal. */
  grant(ttlSeconds: number): string {
    return /lease ([0-9a-f]+) granted/.exec(this.etcdctl('lease', 'grant', String(ttlSeconds)))![1]!;
  }

  /** How many etcd leases there are, with keys or without. */
  leaseCount(): number {
    return this.etcdctl('lease', 'list')
      .split('\n')
      .filter((line) => /^[0-9a-f]{8,}$/.test(line)).length;
  }

  get(key: string): string | undefined {
    const text = this.etcdctl('get', key, '--print-value-only');
    return text === '' ? undefined : text.replace(/\n$/, '');
  }

  keys(prefix: string): string[] {
    return this.etcdctl('get', prefix, '--prefix', '--keys-only')
      .split('\n')
      .filter((line) => line !== '');
  }

  /** Undefined when the key is missing. */
  record(key: string): { readonly value: string; readonly modRevision: string; readonly leaseId: string } | undefined {
    // Lease ids do not fit into a number.
    const text = this.etcdctl('get', key, '-w', 'json').replace(/"(lease|mod_revision)":(\d+)/g, '"$1":"$2"');
    const found = JSON.parse(text).kvs?.[0];
    if (found === undefined) return undefined;
    const value = Buffer.from(found.value ?? '', 'base64').toString();
    return { value, modRevision: found.mod_revision, leaseId: found.lease ?? '0' };
  }

  /** Fills the store until etcd refuses every write (start it with a small --quota-backend-bytes). */
  fill(): void {
    for (let i = 0; i < 1000; i++) {
      try {
        execFileSync('nsenter', [...this.enter(), 'etcdctl', ...this.access(), 'put', `/filler/${i}`], {
          input: 'x'.repeat(1_000_000),
          env: { ...process.env, ETCDCTL_API: '3' },
          stdio: ['pipe', 'pipe', 'pipe'],
        });
      } catch (error) {
        if (String(error).includes('database space exceeded')) return;
        throw error;
      }
    }
    throw new Error('etcd has no quota');
  }

  /** Makes room after fill(). */
  makeRoom(): void {
    this.etcdctl('del', '/filler/', '--prefix');
    this.compact();
    this.etcdctl('defrag');
    this.etcdctl('alarm', 'disarm');
  }

  revision(): number {
    return JSON.parse(this.etcdctl('get', 'none', '-w', 'json')).header.revision;
  }

  /** Up to the present revision, which may be compacted already. */
  compact(): void {
    try {
      this.etcdctl('compact', String(this.revision()));
    } catch (error) {
      if (!String(error).includes('required revision has been compacted')) throw error;
    }
  }

  private enter(): string[] {
    return this.setup.netns ? [`--net=${this.setup.netns}`] : ['--net=/proc/self/ns/net'];
  }

  private access(): string[] {
    const { tls } = this.setup;
    const files = tls ? [`--cacert=${tls.ca}`, `--cert=${tls.cert}`, `--key=${tls.key}`] : [];
    return [`--endpoints=${this.endpoint}`, '--command-timeout=20s', ...files, ...(this.setup.ctlFlags ?? [])];
  }

  async waitReady(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      try {
        this.etcdctl('endpoint', 'health');
        return;
      } catch (error) {
        if (this.child === undefined || this.child.exitCode !== null) throw new Error('etcd ended', { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    throw new Error('etcd is not ready after 10 s');
  }
}

/** Three members, all healthy. */
export async function startEtcdCluster(): Promise<readonly EtcdServer[]> {
  const ports = await freePorts(3);
  const cluster = ports.map((port, n) => `m${n}=http://127.0.0.1:${port}`).join();
  const members = await Promise.all(
    ports.map((peerPort, n) => EtcdServer.start({ member: { name: `m${n}`, peerPort, cluster } })),
  );
  for (const member of members) await member.waitReady();
  return members;
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A certificate authority with a certificate of it for server and client, as files in `directory`. */
export function makeCertificates(directory: string, address = '127.0.0.1'): { ca: string; cert: string; key: string } {
  const at = (name: string) => path.join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...curve, '-subj', '/CN=fltest ca', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  const usage = 'extendedKeyUsage=serverAuth,clientAuth';
  const names = `subjectAltName=IP:${address}`;
  openssl(
    'req',
    '-x509',
    ...curve,
    '-subj',
    '/CN=fltest',
    '-addext',
    usage,
    '-addext',
    names,
    '-addext',
    'basicConstraints=critical,CA:FALSE',
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-keyout',
    at('node.key'),
    '-out',
    at('node.pem'),
  );
  return { ca: at('ca.pem'), cert: at('node.pem'), key: at('node.key') };
}

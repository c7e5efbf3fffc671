/** A real API server of a test's own, with an etcd of its own: on loopback, or in a namespace. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cacheDirectory } from '../../../tools/setup/context.mjs';
import { kubernetesDirectory } from '../../../tools/setup/kubernetes.mjs';
import { EtcdServer, freePorts, makeCertificates } from './etcd-server.ts';

export interface KubeSetup {
  /** Path of the namespace to run in, with `host` an address there. */
  readonly netns?: string;
  readonly host?: string;
  /** Of the kube-controller-manager, which gives nodes their podCIDRs; without it a test sets them. */
  readonly clusterCidr?: string;
  /** More flags for kube-apiserver. */
  readonly flags?: readonly string[];
}

const TOKEN = 'fltest-admin';
const READY_MS = 60_000;

export class KubeServer {
  private apiserver: ChildProcess | undefined;
  private controllerManager: ChildProcess | undefined;
  readonly directory = mkdtempSync(path.join(tmpdir(), 'fltest-kube-'));
  readonly ca: string;
  private readonly certificates: { readonly ca: string; readonly cert: string; readonly key: string };

  private constructor(
    private readonly setup: KubeSetup,
    readonly etcd: EtcdServer,
    readonly port: number,
  ) {
    this.certificates = makeCertificates(this.directory, this.host);
    this.ca = readFileSync(this.certificates.ca, 'utf8');
    const publicKey = createPublicKey(readFileSync(this.certificates.key));
    this.file('service-accounts.pem', String(publicKey.export({ type: 'spki', format: 'pem' })));
  }

  static async start(setup: KubeSetup = {}): Promise<KubeServer> {
    const { netns } = setup;
    const etcd = await EtcdServer.start({ ...(netns !== undefined && { netns }) });
    const [port] = await freePorts(1);
    const server = new KubeServer(setup, etcd, port!);
    try {
      await server.start();
    } catch (error) {
      await server.destroy();
      throw error;
    }
    return server;
  }

  get host(): string {
    return this.setup.host ?? '127.0.0.1';
  }

  get url(): string {
    return `https://${this.host}:${this.port}`;
  }

  async start(): Promise<void> {
    const { cert, key, ca } = this.certificates;
    const tokens = this.file('tokens.csv', `${TOKEN},admin,1,"system:masters"\n${LIMITED_TOKEN},limited,2\n`);
    this.apiserver = this.spawn('kube-apiserver', [
      `--etcd-servers=${this.etcd.endpoint}`,
      `--secure-port=${this.port}`,
      `--bind-address=${this.host}`,
      '--advertise-address=127.0.0.1',
      `--tls-cert-file=${cert}`,
      `--tls-private-key-file=${key}`,
      `--client-ca-file=${ca}`,
      `--token-auth-file=${tokens}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.96.0.0/24,fd00:96::/112',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${path.join(this.directory, 'service-accounts.pem')}`,
      `--service-account-signing-key-file=${key}`,
      '--disable-admission-plugins=ServiceAccount,TaintNodesByCondition',
      ...(this.setup.flags ?? []),
    ]);
    await this.waitReady();
    if (this.setup.clusterCidr === undefined) return;
    const cidrs = this.setup.clusterCidr.split(',');
    this.controllerManager ??= this.spawn('kube-controller-manager', [
      `--kubeconfig=${this.kubeconfig()}`,
      '--controllers=node-ipam-controller',
      '--allocate-node-cidrs',
      `--cluster-cidr=${cidrs.join()}`,
      `--cidr-allocator-type=RangeAllocator`,
      '--leader-elect=false',
      '--secure-port=0',
      '--service-cluster-ip-range=10.96.0.0/24,fd00:96::/112',
    ]);
  }

  /** SIGKILL: an outage. `start()` brings it back with its data. */
  async stop(): Promise<void> {
    const { apiserver } = this;
    this.apiserver = undefined;
    await end(apiserver);
  }

  /** A server that accepts connections and says nothing. */
  pause(): void {
    this.apiserver?.kill('SIGSTOP');
  }

  resume(): void {
    this.apiserver?.kill('SIGCONT');
  }

  async destroy(): Promise<void> {
    this.resume();
    await this.stop();
    await end(this.controllerManager);
    await this.etcd.destroy();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A kubeconfig with a client certificate of the group system:masters is an administrator's, and so is this token. */
  kubeconfig(token = TOKEN): string {
    const text = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: this.url, 'certificate-authority': this.certificates.ca } }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    });
    return this.file(`kubeconfig-${token.slice(-12)}`, text);
  }

  file(name: string, text: string): string {
    const file = path.join(this.directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  }

  async request<T = unknown>(method: string, url: string, body?: object, type = 'application/json'): Promise<T> {
    const text = await this.raw(method, url, body, type);
    return JSON.parse(text) as T;
  }

  async createNode(
    name: string,
    podCidrs?: readonly string[],
    annotations: Record<string, string> = {},
  ): Promise<void> {
    const spec = podCidrs && { podCIDR: podCidrs[0], podCIDRs: podCidrs };
    await this.request('POST', '/api/v1/nodes', {
      metadata: { name, annotations },
      ...(spec && { spec }),
    });
  }

  async deleteNode(name: string): Promise<void> {
    await this.request('DELETE', `/api/v1/nodes/${name}`);
  }

  async node(name: string): Promise<TestNode> {
    return this.request<TestNode>('GET', `/api/v1/nodes/${name}`);
  }

  async nodes(): Promise<readonly TestNode[]> {
    return (await this.request<{ items: TestNode[] }>('GET', '/api/v1/nodes')).items;
  }

  /** A null removes one. */
  async annotate(name: string, annotations: Record<string, string | null>): Promise<void> {
    await this.request('PATCH', `/api/v1/nodes/${name}`, { metadata: { annotations } }, 'application/merge-patch+json');
  }

  /** Of the user without any rights but those given here. */
  readonly limitedToken = LIMITED_TOKEN;

  private raw(method: string, url: string, body: object | undefined, type: string): Promise<string> {
    return this.setup.netns === undefined ? this.ask(method, url, body, type) : this.askInside(method, url, body, type);
  }

  /** A test runs outside of the namespace. */
  private askInside(method: string, url: string, body: object | undefined, type: string): Promise<string> {
    const headers = ['-H', `authorization: Bearer ${TOKEN}`, '-H', `content-type: ${type}`];
    const data = body === undefined ? [] : ['--data-binary', JSON.stringify(body)];
    const curl = ['curl', '-sS', '-m', '10', '--fail-with-body', '--cacert', this.certificates.ca, '-X', method];
    const argv = [`--net=${this.setup.netns}`, ...curl, ...headers, ...data, `${this.url}${url}`];
    return new Promise((resolve, reject) => {
      execFile('nsenter', argv, { maxBuffer: 1 << 26 }, (error, stdout) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${method} ${url}: ${stdout}`, { cause: error }));
      });
    });
  }

  private ask(method: string, url: string, body: object | undefined, type: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = https.request(
        `${this.url}${url}`,
        {
          method,
          ca: this.ca,
          headers: { authorization: `Bearer ${TOKEN}`, 'content-type': type },
          agent: false,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            if ((response.statusCode ?? 0) < 300) resolve(text);
            else reject(new Error(`${method} ${url}: ${response.statusCode} ${text}`));
          });
        },
      );
      request.on('error', reject);
      request.end(body && JSON.stringify(body));
    });
  }

  private spawn(program: string, flags: readonly string[]): ChildProcess {
    const binary = path.join(kubernetesDirectory({ cache: cacheDirectory(process.env) }), program);
    const argv = [binary, ...flags];
    if (this.setup.netns !== undefined) argv.unshift('nsenter', `--net=${this.setup.netns}`);
    const output = openSync(this.logOf(program), 'a');
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', output, output] });
    closeSync(output);
    return child;
  }

  private logOf(program: string): string {
    return path.join(this.directory, `${program}.log`);
  }

  private async waitReady(): Promise<void> {
    const until = performance.now() + READY_MS;
    for (;;) {
      try {
        await this.raw('GET', '/readyz', undefined, 'application/json');
        return;
      } catch (error) {
        const { apiserver } = this;
        if (apiserver === undefined || apiserver.exitCode !== null) {
          throw new Error(`kube-apiserver ended: ${readFileSync(this.logOf('kube-apiserver'), 'utf8').slice(-1000)}`);
        }
        if (performance.now() > until) throw new Error('kube-apiserver is not ready', { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

const LIMITED_TOKEN = 'fltest-limited';

export interface TestNode {
  readonly metadata: { readonly name: string; readonly uid: string; readonly annotations?: Record<string, string> };
  readonly spec: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: { readonly conditions?: readonly Record<string, string>[] };
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

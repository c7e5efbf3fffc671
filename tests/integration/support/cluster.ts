/** Nodes in network namespaces on one bridge, with real flanneld processes and one etcd beside them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Place } from '../../../bench/dataplane/lab.ts';
import { EtcdServer, type EtcdSetup } from './etcd-server.ts';

export const PREFIX = '/coreos.com/network';
const ROOT = path.resolve(__dirname, '../../..');
export const GATEWAY = '10.64.0.1';
export const GATEWAY6 = '2001:db8:64::1';

/** The addresses that nodes have. */
export type UnderlayFamilies = 'ipv4' | 'ipv6' | 'both';

export interface ClusterOptions {
  /** With `false` etcd is started later, by startEtcd(). */
  readonly etcd?: boolean;
  readonly underlay?: UnderlayFamilies;
}

/** What tests look at in the answer to /status. */
export interface Status {
  readonly ready: boolean;
  readonly troubles: readonly { readonly part: string; readonly trouble: string; readonly forSeconds: number }[];
  readonly details: readonly string[];
  readonly node?: { readonly engine?: string };
  readonly peers: readonly {
    readonly subnet: string;
    readonly address: string;
    readonly lastAnswerSecondsAgo: number | null;
    readonly roundTripMs: number | null;
    readonly largePackets: string;
  }[];
}

let count = 0;

export class Cluster {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'fltest-cluster-'));
  readonly nodes: Node[] = [];
  private readonly others: Node[] = [];
  private readonly id = `fltest-${process.pid}-${count++}`;
  private readonly vpc = `${this.id}-vpc`;
  etcd!: EtcdServer;
  private etcdPartner: EtcdServer | undefined;

  private constructor(
    readonly program: string,
    readonly underlay: UnderlayFamilies,
  ) {
    sh('ip', 'netns', 'add', this.vpc);
    inside(this.vpc, 'ip', 'link', 'set', 'lo', 'up');
    inside(this.vpc, 'ip', 'link', 'add', 'vpc0', 'type', 'bridge');
    if (underlay !== 'ipv6') inside(this.vpc, 'ip', 'address', 'add', `${GATEWAY}/24`, 'dev', 'vpc0');
    if (underlay !== 'ipv4') inside(this.vpc, 'ip', 'address', 'add', `${GATEWAY6}/64`, 'dev', 'vpc0', 'nodad');
    inside(this.vpc, 'ip', 'link', 'set', 'vpc0', 'up');
  }

  static async create(program: string, nodes: number, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(program, options.underlay ?? 'ipv4');
    try {
      for (let i = 0; i < nodes; i++) cluster.addNode();
      if (options.etcd ?? true) await cluster.startEtcd();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  async startEtcd(tls?: EtcdSetup['tls'], ctlFlags: readonly string[] = []): Promise<void> {
    const setup = { netns: `/run/netns/${this.vpc}`, host: this.gateway, clientPort: 2379 };
    this.etcd = await EtcdServer.start({ ...setup, ctlFlags, ...(tls && { tls }) });
  }

  /** An etcd of two members, of which the nodes know the first: without the other one, which is returned, it has no leader. */
  async startEtcdPair(): Promise<EtcdServer> {
    const names = 'm0=http://127.0.0.1:2380,m1=http://127.0.0.1:2381';
    const start = (number: number) =>
      EtcdServer.start({
        netns: `/run/netns/${this.vpc}`,
        host: this.gateway,
        clientPort: 2379 + 10 * number,
        member: { name: `m${number}`, peerPort: 2380 + number, cluster: names },
      });
    const [first, second] = await Promise.all([start(0), start(1)]);
    [this.etcd, this.etcdPartner] = [first, second];
    await first.waitReady();
    return second;
  }

  get endpoint(): string {
    return this.etcd?.endpoint ?? `http://${this.gateway}:2379`;
  }

  /** As it stands in a URL. */
  private get gateway(): string {
    return this.underlay === 'ipv6' ? `[${GATEWAY6}]` : GATEWAY;
  }

  /** Of the host between the nodes. */
  get routerNetns(): string {
    return this.vpc;
  }

  /** Runs a command on the host between the nodes. */
  router(...command: string[]): string {
    return inside(this.vpc, ...command);
  }

  addNode(): Node {
    const number = this.nodes.length;
    const netns = `${this.id}-node-${number}`;
    const node = new Node(this, this.program, netns, number, path.join(this.directory, `node-${number}`));
    this.nodes.push(node);
    sh('ip', 'netns', 'add', netns);
    inside(netns, 'ip', 'link', 'set', 'lo', 'up');
    const peer = `p${number}`;
    inside(netns, 'ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', peer, 'netns', this.vpc);
    inside(this.vpc, 'ip', 'link', 'set', peer, 'master', 'vpc0', 'up');
    node.ip('link', 'set', 'eth0', 'up');
    if (this.underlay !== 'ipv6') {
      node.ip('address', 'add', `${node.address}/24`, 'dev', 'eth0');
      node.ip('route', 'add', 'default', 'via', GATEWAY);
    }
    if (this.underlay !== 'ipv4') {
      node.ip('address', 'add', `${node.address6}/64`, 'dev', 'eth0', 'nodad');
      node.ip('-6', 'route', 'add', 'default', 'via', GATEWAY6);
    }
    return node;
  }

  /** A second flanneld on the host of a node. */
  addDaemon(host: Node, place: Partial<Daemon>): Node {
    const node = host.another({ bridge: 'cni1', healthzPort: 8082, etcdPrefix: '/other', name: 'other', ...place });
    this.others.push(node);
    return node;
  }

  async destroy(): Promise<void> {
    for (const node of [...this.nodes, ...this.others]) await node.kill();
    await this.etcd?.destroy();
    await this.etcdPartner?.destroy();
    for (const netns of [...this.nodes.map((node) => node.netns), this.vpc]) sh('ip', 'netns', 'delete', netns);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly ms: number;
}

/** A flanneld beside which another one was started. */
export interface Before {
  readonly log: Node['log'];
  logged(text: string): number;
  stop(signal?: NodeJS.Signals): Promise<Omit<Ended, 'ms'>>;
  /** The node's stop(), log and the like are about it again. */
  comeBack(): void;
}

/** What tells daemons of one host apart. */
interface Daemon {
  readonly name: string;
  readonly etcdPrefix: string;
  readonly healthzPort: number;
  readonly bridge: string;
}

const ONLY: Daemon = { name: '', etcdPrefix: PREFIX, healthzPort: 8081, bridge: 'cni0' };

export class Node {
  log: { readonly level: number; readonly msg: string }[] = [];
  /** Capabilities that the program does not get, as setpriv(1) names them. */
  without: readonly string[] = [];
  /** As in a container without privileges: two capabilities, and settings of the kernel that cannot be written. */
  isConfined = false;
  private child: ChildProcess | undefined;
  private ended: Promise<Omit<Ended, 'ms'>> = Promise.resolve({ code: null, signal: null });

  constructor(
    private readonly cluster: Cluster,
    /** What the next start() runs. */
    public program: string,
    readonly netns: string,
    private readonly number: number,
    readonly directory: string,
    private readonly daemon: Daemon = ONLY,
  ) {}

  another(daemon: Daemon): Node {
    const directory = path.join(this.directory, daemon.name);
    return new Node(this.cluster, this.program, this.netns, this.number, directory, daemon);
  }

  get address(): string {
    return `10.64.0.${16 + this.number}`;
  }

  get address6(): string {
    return `2001:db8:64::${(16 + this.number).toString(16)}`;
  }

  get subnetFile(): string {
    return path.join(this.directory, 'subnet.env');
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  flags(...more: string[]): string[] {
    return [
      `-etcd-endpoints=${this.cluster.endpoint}`,
      `-subnet-file=${this.subnetFile}`,
      '-healthz-ip=127.0.0.1',
      `-healthz-port=${this.daemon.healthzPort}`,
      `-etcd-prefix=${this.daemon.etcdPrefix}`,
      ...more,
    ];
  }

  /** Starts flanneld and does not wait. `kept`: what systemd kept for it, by name. */
  start(
    flags: string[] = [],
    environment: Record<string, string> = {},
    kept: ReadonlyMap<string, number> = new Map(),
  ): void {
    const log: Node['log'] = [];
    this.log = log;
    // Not the repository's directory, so that nothing is found there by accident.
    const listen = { LISTEN_FDS: `${kept.size}`, LISTEN_FDNAMES: [...kept.keys()].join(':') };
    const env = { PATH: process.env.PATH, ...(kept.size > 0 && listen), ...environment };
    const [program, ...argv] = this.commandLine(this.flags(...flags));
    const child = spawn(program!, argv, { cwd: '/', env, stdio: ['ignore', 'ignore', 'pipe', ...kept.values()] });
    this.child = child;
    let rest = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) log.push(parseLine(line));
    });
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** Starts another one beside the one that runs, which is returned. */
  startBeside(flags: string[] = []): Before {
    const { child, ended, log } = this;
    this.start(['-take-over', ...flags]);
    return {
      log,
      logged: (text) => log.filter(({ msg }) => msg.includes(text)).length,
      stop: async (signal = 'SIGTERM') => {
        child?.kill(signal);
        return ended;
      },
      comeBack: () => {
        this.child = child;
        this.ended = ended;
        this.log = log;
      },
    };
  }

  async startReady(flags: string[] = []): Promise<void> {
    this.start(flags);
    await this.untilReady();
  }

  async untilReady(): Promise<void> {
    await until(() => {
      if (this.child?.exitCode !== null) throw new Error(`flanneld ended:\n${this.text}`);
      return this.probe('readyz').startsWith('200');
    });
  }

  /** Runs a subcommand to its end. */
  command(...argv: string[]): { readonly code: number; readonly stderr: string } {
    try {
      const [program, ...rest] = this.commandLine(argv);
      execFileSync(program!, rest, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
      return { code: 0, stderr: '' };
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: Buffer };
      return { code: status, stderr: stderr.toString() };
    }
  }

  /** In the node's namespace, and without this repository: nothing of it may be needed at run time. */
  private commandLine(argv: readonly string[]): string[] {
    const { program } = this;
    // Each program here executes the next one, so that the process stays the same.
    const readOnly = this.isConfined ? 'mount -o bind,ro /proc/sys /proc/sys && ' : '';
    const script = `${readOnly}mount -t tmpfs none "$0" && LISTEN_PID=$$ exec "$@"`;
    const hide = ['unshare', '--mount', 'sh', '-c', script, ROOT];
    const interpreter = program.endsWith('.cjs') ? [process.execPath] : [];
    const limits = this.isConfined
      ? ['setpriv', '--bounding-set=-all,+net_admin,+net_raw', '--inh-caps=-all']
      : this.without.length > 0
        ? ['setpriv', `--bounding-set=${this.without.map((name) => `-${name}`)}`]
        : [];
    return [...hide, 'nsenter', `--net=/run/netns/${this.netns}`, ...limits, ...interpreter, program, ...argv];
  }

  /** What the health server answers, whatever it thinks of this node. */
  get(what: string): string {
    return this.run('curl', '-s', '-m', '2', `http://127.0.0.1:8081/${what}`);
  }

  get status(): Status {
    return JSON.parse(this.get('status'));
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    const start = performance.now();
    this.child?.kill(signal);
    return { ...(await this.ended), ms: performance.now() - start };
  }

  async kill(): Promise<void> {
    if (this.child?.exitCode === null && this.child.signalCode === null) await this.stop('SIGKILL');
  }

  /** Resolves when it ends by itself. */
  untilEnded(): Promise<Omit<Ended, 'ms'>> {
    return this.ended;
  }

  logged(text: string): number {
    return this.log.filter(({ msg }) => msg.includes(text)).length;
  }

  get text(): string {
    return this.log.map(({ level, msg }) => `${level} ${msg}`).join('\n');
  }

  /** "200 flanneld is ready", or "000" when nobody answers. */
  probe(what: 'healthz' | 'readyz' | 'readyz?verbose' | 'metrics'): string {
    const curl = ['curl', '-s', '-m', '2', '-w', '%{http_code}', `http://127.0.0.1:${this.daemon.healthzPort}/${what}`];
    try {
      const output = this.run(...curl);
      return `${output.slice(-3)} ${output.slice(0, -3).trim()}`;
    } catch {
      return '000';
    }
  }

  get subnet(): string {
    return /FLANNEL_SUBNET=(.*)/.exec(readFileSync(this.subnetFile, 'utf8'))?.[1] ?? '';
  }

  /** The first address of the subnet on the bridge of pods. */
  addPodAddress(): string {
    const subnet = this.subnet;
    const { bridge } = this.daemon;
    this.ip('link', 'add', bridge, 'type', 'bridge');
    this.ip('address', 'add', subnet, 'dev', bridge);
    this.ip('link', 'set', bridge, 'up');
    return this.podAddress;
  }

  get podAddress(): string {
    return this.subnet.split('/')[0]!;
  }

  /** Where a stream starts or ends. */
  place(address: string): Place {
    return { netns: `/run/netns/${this.netns}`, address };
  }

  /** From this node's pod address to that of another. */
  canPing(other: Node): boolean {
    try {
      this.run('ping', '-c', '1', '-W', '1', '-I', this.podAddress, other.podAddress);
      return true;
    } catch {
      return false;
    }
  }

  ip(...args: string[]): string {
    return this.run('ip', ...args);
  }

  run(...command: string[]): string {
    return inside(this.netns, ...command);
  }
}

function parseLine(line: string): { level: number; msg: string } {
  try {
    return JSON.parse(line);
  } catch {
    return { level: 99, msg: line };
  }
}

/** A condition that is waited for in vain must not be asked for ever: the files that run after this one share its process. */
const VAIN_MS = 180_000;

/** Waits for a condition; as a rule jest's own time limit ends a vain wait. */
export async function until(condition: () => boolean, everyMs = 50): Promise<void> {
  const end = performance.now() + VAIN_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Waited ${VAIN_MS / 1000} s in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

function inside(netns: string, ...command: string[]): string {
  return sh('nsenter', `--net=/run/netns/${netns}`, ...command);
}

function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

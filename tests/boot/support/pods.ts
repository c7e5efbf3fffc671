/** The container runtime's side of a node: pods are namespaces, connected by the plugins of the node's network list. */
import { createHash, randomBytes } from 'node:crypto';
import type { Machine } from './machine.ts';
import { until } from './process.ts';

const CONFLIST = '/etc/cni/net.d/10-flannel.conflist';
const PLUGINS = '/opt/cni/bin';
const PORT = 8000;

/** Sends a file to whoever connects. */
const SERVER = `import socketserver, sys
class Send(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(open(sys.argv[1], "rb").read())
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", int(sys.argv[2])), Send).serve_forever()
`;

interface NetworkList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly { readonly type: string }[];
}

export class Pod {
  private constructor(
    readonly machine: Machine,
    readonly name: string,
    readonly address: string,
  ) {}

  /** ADD, as CNI has it. The pod then serves a file. */
  static async create(machine: Machine, name: string): Promise<Pod> {
    await machine.exec('ip', 'netns', 'add', name);
    const list = JSON.parse(await machine.exec('cat', CONFLIST)) as NetworkList;
    let result: { readonly ips?: readonly { readonly address: string }[] } | undefined;
    for (const plugin of list.plugins) {
      const { cniVersion, name: network } = list;
      const conf = JSON.stringify({ ...plugin, cniVersion, name: network, ...(result && { prevResult: result }) });
      const env = [`CNI_COMMAND=ADD`, `CNI_CONTAINERID=${name}`, `CNI_NETNS=/run/netns/${name}`];
      const command = ['env', ...env, 'CNI_IFNAME=eth0', `CNI_PATH=${PLUGINS}`, `${PLUGINS}/${plugin.type}`];
      const { code, stdout, stderr } = await machine.runWithInput(conf, ...command);
      if (code !== 0) throw new Error(`${plugin.type} on ${machine.id} ended with ${code}: ${stdout}${stderr}`);
      result = JSON.parse(stdout);
    }
    const pod = new Pod(machine, name, result?.ips?.[0]?.address.split('/')[0] ?? '');
    await pod.serve();
    return pod;
  }

  /** What is wrong between two pods, in both directions: ping, and a file over TCP. Empty when nothing is. */
  async problemsWith(other: Pod): Promise<string[]> {
    return [...(await this.reach(other)), ...(await other.reach(this))];
  }

  inside(...command: string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.name}`, ...command];
  }

  private async reach(other: Pod): Promise<string[]> {
    const way = `${this.name} (${this.address}) -> ${other.name} (${other.address})`;
    const ping = await this.machine.run(...this.inside('ping', '-c', '1', '-W', '3', other.address));
    const receive = `set -o pipefail; timeout 10 cat </dev/tcp/${other.address}/${PORT} | sha256sum`;
    const { stdout, stderr } = await this.machine.run(...this.inside('bash', '-c', receive));
    return [
      ...(ping.code === 0 ? [] : [`ping ${way}: ${ping.stdout}${ping.stderr}`]),
      ...(stdout.startsWith(other.sha256) ? [] : [`TCP ${way}: ${stdout}${stderr}`]),
    ];
  }

  private sha256 = '';

  private async serve(): Promise<void> {
    const content = randomBytes(2 ** 21).toString('hex');
    this.sha256 = createHash('sha256').update(content).digest('hex');
    const folder = `/srv/${this.name}`;
    await this.machine.exec('mkdir', '-p', folder);
    const { code, stderr } = await this.machine.runWithInput(content, 'sh', '-c', `cat >${folder}/file`);
    if (code !== 0) throw new Error(`Cannot write ${folder}/file: ${stderr}`);
    const server = this.inside('python3', '-c', SERVER, `${folder}/file`, String(PORT));
    await this.machine.exec('systemd-run', '--quiet', `--unit=pod-${this.name}`, ...server);
    const listens = async () =>
      (await this.machine.run(...this.inside('ss', '-Hltn', `sport = :${PORT}`))).stdout.trim() !== '';
    await until(`${this.name} serves`, listens);
  }
}

/** Until flanneld on a node does its work. */
export async function untilReady(machine: Machine): Promise<void> {
  const ready = async () => (await machine.run('curl', '-sf', 'http://127.0.0.1:8081/readyz')).code === 0;
  const explain = () => machine.journal('-u', 'flannel*', '--lines=60');
  await until(`flanneld on ${machine.id} is ready`, ready, { seconds: 90, explain });
}

/** Debian's containerd in namespaces of its own, spoken to by CRI over HTTP/2, as kubelet does. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { imageArchive } from '../../../tools/build/image-archive.ts';

const PAUSE = 'localhost/pause:1';

type Field = readonly [number: number, value: string | number | Buffer | readonly Field[]];

/** Protocol buffers, as far as these messages go. */
function encode(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
      const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.isBuffer(value) ? value : encode(value);
      return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

/** The first field of this number at each step of the way, as bytes. */
function find(bytes: Buffer, ...way: number[]): Buffer | undefined {
  const [number, ...rest] = way;
  if (number === undefined) return bytes;
  for (let at = 0; at < bytes.length; ) {
    const read = () => {
      let value = 0;
      for (let shift = 1; ; shift *= 128) {
        const byte = bytes[at++]!;
        value += (byte & 127) * shift;
        if (byte < 128) return value;
      }
    };
    const tag = read();
    const length = read();
    if ((tag & 7) !== 2) continue;
    const value = bytes.subarray(at, at + length);
    at += length;
    if (tag >> 3 === number) return find(value, ...rest);
  }
  return undefined;
}

export interface Sandbox {
  readonly id: string;
  readonly ip: string;
}

export class Containerd {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'fltest-containerd-'));
  readonly socket = this.file('containerd.sock');
  private child: ChildProcess | undefined;

  /**
   * @param netns the node, in whose network namespace it runs
   * @param enter what to write before a command to run it among the mounts that are its own; its pods' namespaces are hidden there
   */
  constructor(
    private readonly netns: string,
    readonly binDir: string,
    private readonly enter: readonly string[],
  ) {
    mkdirSync(this.file('net.d'));
    this.runInside('mount', '-t', 'tmpfs', 'fltest', '/run/netns');
    const config = `
version = 2
root = "${this.file('root')}"
state = "${this.file('state')}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
oom_score = 0
[grpc]
  address = "${this.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${binDir}"
    conf_dir = "${this.file('net.d')}"
`;
    writeFileSync(this.file('config.toml'), config);
    const busybox = readFileSync('/usr/bin/busybox');
    const layer = [
      ...['bin/', 'proc/', 'sys/', 'dev/', 'etc/', 'tmp/'].map((each) => ({ path: each })),
      { path: 'bin/busybox', content: busybox, mode: 0o755 },
    ];
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const image = {
      names: [PAUSE],
      layers: [layer],
      config: { Entrypoint: ['/bin/busybox', 'sleep', '2147483647'] },
    };
    writeFileSync(this.file('pause.tar'), imageArchive([image], architecture));
  }

  file(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  writeConflist(conflist: object): void {
    writeFileSync(this.file('net.d', '10-flannel.conflist'), JSON.stringify(conflist));
  }

  async start(): Promise<void> {
    rmSync(this.socket, { force: true });
    const argv = [
      `--net=/run/netns/${this.netns}`,
      ...this.enter,
      'containerd',
      '--config',
      this.file('config.toml'),
      '--log-level',
      'warn',
    ];
    this.child = spawn('nsenter', argv, { stdio: 'ignore' });
    await until(() => existsSync(this.socket));
    const images = ['ctr', '-a', this.socket, '-n', 'k8s.io', 'images'];
    this.runInside(...images, 'import', '--snapshotter', 'native', this.file('pause.tar'));
  }

  /**
   * `ctr run --cni` of busybox; its standard output. It calls the plugins itself, by directories that are fixed: among mounts of its
   * own it finds ours there.
   */
  async runByCtr(name: string, script: string): Promise<string> {
    const [etc, opt] = [this.file('etc'), this.file('opt')];
    const mounts = `mkdir -p ${etc} ${opt} && mount --bind /etc ${etc} && mount -t tmpfs fltest /etc &&
      ln -s $(ls -Ad ${etc}/* | grep -v /cni$) /etc && mkdir /etc/cni && ln -s ${this.file('net.d')} /etc/cni/net.d &&
      mount -t tmpfs fltest /opt && mkdir /opt/cni && ln -s ${this.binDir} /opt/cni/bin && exec "$@"`;
    // runc knows containers by namespace and name alone, whatever containerd they are of.
    const id = `${path.basename(this.directory)}-${name}`;
    const ctr = ['ctr', '-a', this.socket, '-n', 'fltest'];
    this.runInside(...ctr, 'images', 'import', '--snapshotter', 'native', this.file('pause.tar'));
    const run = [...ctr, 'run', '--rm', '--cni', '--snapshotter', 'native', PAUSE, id, '/bin/busybox', 'sh', '-c'];
    const enter = [`--net=/run/netns/${this.netns}`, ...this.enter, 'unshare', '--mount', 'sh', '-c', mounts, 'sh'];
    const { stdout } = await promisify(execFile)('nsenter', [...enter, ...run, script], { timeout: 90_000 });
    return stdout;
  }

  private runInside(...command: string[]): void {
    const [file, ...args] = [...this.enter, ...command];
    execFileSync(file!, args);
  }

  /** As a crash does. Containers go on: each has a process of its own that watches it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.child;
    if (child === undefined) return;
    this.child = undefined;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async run(name: string, ports: readonly { hostPort: number; containerPort: number }[] = []): Promise<Sandbox> {
    const mappings = ports.map(
      ({ hostPort, containerPort }): Field => [
        5,
        [
          [1, 0],
          [2, containerPort],
          [3, hostPort],
        ] as const,
      ],
    );
    const metadata: readonly Field[] = [
      [1, name],
      [2, `uid-${name}`],
      [3, 'default'],
      [4, 0],
    ];
    const config: readonly Field[] = [[1, metadata], [2, name], [3, this.file('log')], [4, []], ...mappings, [8, []]];
    const answer = await this.runSandbox(config);
    const id = find(answer, 1)!.toString();
    const status = await this.call('PodSandboxStatus', [[1, id]]);
    return { id, ip: find(status, 1, 5, 1)?.toString() ?? '' };
  }

  /**
   * A containerd that is killed between the renaming of a snapshot and the commit to its database uses the name again, and does not
   * get over the directory that it finds (snapshots/native).
   */
  private async runSandbox(config: readonly Field[]): Promise<Buffer> {
    for (;;) {
      try {
        return await this.call('RunPodSandbox', [[1, config]]);
      } catch (error) {
        const left = /failed to rename: .* (\S+\/snapshots\/\d+): file exists/.exec(String(error))?.[1];
        if (left === undefined) throw error;
        rmSync(left, { recursive: true });
      }
    }
  }

  async stop(id: string): Promise<void> {
    await this.call('StopPodSandbox', [[1, id]]);
  }

  async remove(id: string): Promise<void> {
    await this.call('RemovePodSandbox', [[1, id]]);
  }

  private call(method: string, message: readonly Field[]): Promise<Buffer> {
    const body = encode(message);
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(body.length, 1);
    const client = connectHttp2('http://localhost', { createConnection: () => connect(this.socket) });
    return new Promise<Buffer>((resolve, reject) => {
      client.once('error', reject);
      const stream = client.request({
        ':method': 'POST',
        ':path': `/runtime.v1.RuntimeService/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      let failure = '';
      const note = (headers: Record<string, unknown>) => {
        if (headers['grpc-status'] !== undefined && headers['grpc-status'] !== '0') {
          failure = decodeURIComponent(String(headers['grpc-message']));
        }
      };
      stream.on('response', note).on('trailers', note).on('error', reject);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () =>
        failure === '' ? resolve(Buffer.concat(chunks).subarray(5)) : reject(new Error(failure)),
      );
      stream.end(Buffer.concat([frame, body]));
    }).finally(() => client.close());
  }

  destroy(): void {
    this.child?.kill('SIGKILL');
    const tasks = this.file('state', 'io.containerd.runtime.v2.task');
    execFileSync('sh', ['-c', `for f in ${tasks}/*/*/init.pid; do [ -e $f ] && kill -9 $(cat $f); done; true`]);
    execFileSync('sh', [
      '-c',
      `for p in $(pgrep -f "^/usr/bin/containerd-shim-runc-v2.*${this.socket}"); do kill -9 $p; done; true`,
    ]);
    // With it go the namespaces of pods that nobody has removed.
    const mounts = `grep -o " ${this.directory}[^ ]*" /proc/self/mounts | sort -r`;
    this.runInside('sh', '-c', `${mounts} | while read m; do umount -l $m; done; umount -l /run/netns`);
    execFileSync('sh', ['-c', `rm -rf /run/containerd/runc/fltest/${path.basename(this.directory)}-*`]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

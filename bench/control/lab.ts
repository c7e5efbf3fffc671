/**
 * Nodes as namespaces on one bridge, an etcd beside them, and on the bridge's side every public address that leases without a
 * machine behind them may have: what a node sends to such peers arrives in the namespace of the bridge.
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEALTH_PORT } from '@flannel-ts/flannel/defaults';
import { createNetns, deleteNetns } from '@flannel-ts/linux/netns';
import { runIn, startIn } from '../dataplane/processes.ts';
import { Etcd, PREFIX } from './etcd.ts';
import { PHANTOMS } from './phantom.ts';

const GATEWAY = '10.64.0.1';

let labs = 0;

export class ControlLab {
  readonly directory = mkdtempSync(join(tmpdir(), 'bench-control-'));
  readonly vpc: string;
  readonly etcd: Etcd;
  readonly nodes: ControlNode[] = [];
  private readonly id = `bench-control-${process.pid}-${labs++}`;

  private constructor() {
    this.vpc = `/run/netns/${this.id}-vpc`;
    this.etcd = new Etcd(this.vpc, GATEWAY, this.directory);
  }

  static async create(config: object): Promise<ControlLab> {
    const lab = new ControlLab();
    try {
      createNetns(lab.vpc);
      for (const words of [
        'link set lo up',
        'link add vpc0 type bridge',
        `address add ${GATEWAY}/16 dev vpc0`,
        'link set vpc0 up',
        `route add local ${PHANTOMS} dev lo`,
      ])
        lab.ip(lab.vpc, words);
      await lab.etcd.start();
      await lab.etcd.put([{ key: `${PREFIX}/config`, value: JSON.stringify(config) }]);
      return lab;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  addNode(program: string): ControlNode {
    const number = this.nodes.length;
    const netns = `/run/netns/${this.id}-node-${number}`;
    createNetns(netns);
    const node = new ControlNode(this, program, number, netns, join(this.directory, `node-${number}`));
    this.nodes.push(node);
    mkdirSync(node.directory);
    const peer = `p${number}`;
    this.ip(netns, 'link set lo up');
    this.ip(netns, `link add eth0 type veth peer name ${peer} netns ${this.id}-vpc`);
    this.ip(this.vpc, `link set ${peer} master vpc0 up`);
    this.ip(netns, `address add ${node.address}/16 dev eth0`);
    this.ip(netns, 'link set eth0 up');
    this.ip(netns, `route add default via ${GATEWAY}`);
    return node;
  }

  ip(netns: string, words: string): string {
    return runIn({ netns }, ['ip', ...words.split(' ')]);
  }

  async destroy(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop('SIGKILL')));
    await this.etcd.stop();
    for (const { netns } of this.nodes) deleteNetns(netns);
    if (existsSync(this.vpc)) deleteNetns(this.vpc);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class ControlNode {
  log = '';
  private child: ChildProcess | undefined;

  constructor(
    private readonly lab: ControlLab,
    private readonly program: string,
    number: number,
    readonly netns: string,
    readonly directory: string,
  ) {
    this.address = `10.64.${1 + (number >> 8)}.${number & 255}`;
  }

  readonly address: string;

  start(): void {
    const flags = [
      `-etcd-endpoints=${this.lab.etcd.endpoint}`,
      '-iface=eth0',
      `-subnet-file=${join(this.directory, 'subnet.env')}`,
      '-healthz-ip=127.0.0.1',
      `-healthz-port=${HEALTH_PORT}`,
    ];
    this.log = '';
    this.child = startIn(this, [this.program, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr!.on('data', (chunk) => {
      this.log += chunk;
    });
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Of the subnet file, with the prefix length; undefined as long as there is none. */
  get subnet(): string | undefined {
    const file = join(this.directory, 'subnet.env');
    return existsSync(file) ? /^FLANNEL_SUBNET=(.*)$/m.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
  }

  /** Bytes that stay in memory. */
  get residentBytes(): number {
    return 1024 * Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
  }

  /** Seconds that its threads have run, in user space and in the kernel. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100; // proc(5): utime and stime, in clock ticks
  }

  get(path: string): string {
    return runIn(this, ['curl', '-s', '-m', '5', `http://127.0.0.1:${HEALTH_PORT}/${path}`]);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.isRunning) return;
    const ended = once(this.child!, 'exit');
    this.child!.kill(signal);
    await ended;
  }
}

export async function untilTrue(condition: () => boolean, what: () => string, withinMs = 120_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`Not within ${withinMs / 1000} s: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

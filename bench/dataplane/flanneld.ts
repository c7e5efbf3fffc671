/** A whole flanneld, the shipped one or flannel's own, with an etcd, in the nodes of a laboratory. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_ETCD_PREFIX, ETCD_CLIENT_PORT } from '@flannel-ts/flannel/defaults';
import type { Lab, Place, Side } from './lab.ts';
import { runIn, startIn } from './processes.ts';

export const SHIPPED = join(process.cwd(), 'dist/flanneld');
const READY_WITHIN_MS = 20_000;

export class Flannel {
  readonly #children: ChildProcess[] = [];

  /** Of flanneld, in the order of the lab's sides. */
  readonly processes: { readonly pid: number }[] = [];

  /** `directory`: exists from the start to the stop. */
  constructor(
    readonly lab: Lab,
    readonly program: string,
    readonly directory: string,
    readonly backend: 'udp' | 'vxlan' | 'host-gw' = 'udp',
  ) {}

  /** Resolves when both nodes wrote their subnet file, the last thing they do before they are ready. */
  async start(flags: readonly string[]): Promise<void> {
    const [first] = this.lab.sides;
    const endpoint = `http://${first.node.address}:${ETCD_CLIENT_PORT}`;
    await this.#startEtcd(first, endpoint);
    for (const side of this.lab.sides) this.processes.push(this.#startNode(side, endpoint, flags));
    await Promise.all(this.lab.sides.map((side) => this.#untilReady(side)));
    const env = readFileSync(this.#subnetFile(first), 'utf8');
    this.lab.setPodMtu(Number(/^FLANNEL_MTU=(\d+)$/m.exec(env)![1]));
  }

  async stop(): Promise<void> {
    // flanneld first: it would miss its etcd.
    for (const child of this.#children.splice(0).reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 8000);
      await ended;
      clearTimeout(late);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #startEtcd({ node }: Side, endpoint: string): Promise<void> {
    const peer = 'http://127.0.0.1:2380';
    const args = [`--data-dir=${join(this.directory, 'etcd')}`, '--name=bench', '--logger=zap', '--log-level=error'];
    args.push(`--listen-client-urls=${endpoint}`, `--advertise-client-urls=${endpoint}`, `--listen-peer-urls=${peer}`);
    args.push(`--initial-advertise-peer-urls=${peer}`, `--initial-cluster=bench=${peer}`);
    const child = startIn(node, ['etcd', ...args], { stdio: 'ignore' });
    this.#children.push(child);
    const entries = [
      ['config', `{"Network":"10.0.0.0/8","SubnetLen":24,"Backend":{"Type":"${this.backend}"}}`],
      // A node takes the lease that has its address: so its subnet is the one that the lab's pods are in.
      ...this.lab.sides.map((side) => [
        `subnets/${side.subnet.replace('/', '-')}`,
        `{"PublicIP":"${side.node.address}","PublicIPv6":null}`,
      ]),
    ] as const;
    for (const [key, value] of entries) await put(node, endpoint, key!, value!);
  }

  #startNode(side: Side, endpoint: string, flags: readonly string[]): { readonly pid: number } {
    const file = this.#subnetFile(side);
    mkdirSync(join(file, '..'), { recursive: true });
    const own = [`-etcd-endpoints=${endpoint}`, '-iface=eth0', `-subnet-file=${file}`, ...flags];
    const child = startIn(side.node, [this.program, ...own], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr!.on('data', (data) => {
      log += data;
    });
    child.on('exit', (code) => {
      if (code !== 0 && code !== null) process.stderr.write(log);
    });
    this.#children.push(child);
    return { pid: child.pid! };
  }

  async #untilReady(side: Side): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!existsSync(this.#subnetFile(side))) {
      if (Date.now() > deadline)
        throw new Error(`flanneld of node ${side.number} is not ready after ${READY_WITHIN_MS} ms`);
      await sleep(20);
    }
  }

  #subnetFile({ number }: Side): string {
    return join(this.directory, `node-${number}`, 'subnet.env');
  }
}

/** Tries until etcd is there. */
async function put(place: Place, endpoint: string, key: string, value: string): Promise<void> {
  const command = ['etcdctl', `--endpoints=${endpoint}`, 'put', `${DEFAULT_ETCD_PREFIX}/${key}`, value];
  for (let tries = 0; ; tries++) {
    try {
      runIn(place, command, { ...process.env, ETCDCTL_API: '3' });
      return;
    } catch (error) {
      if (tries > 20) throw error;
      await sleep(200);
    }
  }
}

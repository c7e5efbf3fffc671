/**
 * How long a pod waits for its network: our one plugin against Debian's bridge and host-local (containernetworking-plugins),
 * which together do the same work but for reading flannel's files. They take turns, each on a node of its own. With
 * FLANNEL_UPSTREAM_CNI naming a build of github.com/flannel-io/cni-plugin, the whole chain that it replaces takes part, too.
 *
 * On a node that is no bench's, flanneld has made the directory of the plugin's resident process; here it is made, and removed.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { type Result, summarize } from '../result.ts';

export const name = 'cni';

const PLUGIN = path.resolve('dist/cni/flannel');
const REFERENCE = '/usr/lib/cni/bridge';
const UPSTREAM = process.env.FLANNEL_UPSTREAM_CNI;
const ROUNDS = 25;
const CROWD = 50;
const CROWD_ROUNDS = 3;
/** Addresses that other pods hold already in the "busy" runs. */
const BUSY = 200;
const CROWDED = 5000;
/** Third byte of the node's range, which has room for all of them. */
const SUBNET = 32;
/** As in cni/src/resident/place.ts. */
const RESIDENT = '/run/flannel/cni';

interface Contender {
  readonly name: string;
  readonly program: string;
  /** Namespace of its node. */
  readonly host: string;
  readonly conf: (masquerade: boolean) => object;
  /** Address files of the pods that are there already. */
  readonly store: string;
}

export async function run(): Promise<Result[]> {
  for (const program of [PLUGIN, REFERENCE]) {
    if (!existsSync(program)) {
      throw new Error(`${program} is missing: run "npm run build", and install containernetworking-plugins`);
    }
  }
  const lab = new Lab();
  try {
    const without = lab.withoutResident();
    lab.allowResident();
    return [
      ...lab.alone(),
      ...lab.masquerading(),
      ...lab.busy(BUSY),
      ...lab.busy(CROWDED),
      ...(await lab.crowd()),
      lab.start(),
      ...without,
    ];
  } finally {
    lab.destroy();
  }
}

class Lab {
  private readonly directory = mkdtempSync(path.join(tmpdir(), 'flbench-cni-'));
  private readonly id = `flbench-${process.pid}`;
  private readonly netns: string[] = [];
  private readonly pods: string[] = [];
  private readonly ours: Contender;
  private readonly theirs: Contender;
  private readonly upstream: Contender | undefined;
  private madeResident = false;

  constructor() {
    const file = (...names: string[]): string => path.join(this.directory, ...names);
    for (const masq of [true, false]) {
      writeFileSync(
        file(`subnet-${masq}.env`),
        `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.${SUBNET}.1/19\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=${!masq}\n`,
      );
    }
    const common = { cniVersion: '1.0.0', name: 'bench' };
    const delegate = { hairpinMode: true, isDefaultGateway: true };
    const flannel = (name: string, program: string, directory: string): Contender => ({
      name,
      program,
      host: this.addNetns(directory),
      store: file(directory, 'bench'),
      conf: (masquerade) => ({
        ...common,
        type: 'flannel',
        subnetFile: file(`subnet-${masquerade}.env`),
        dataDir: file(`${directory}-flannel`),
        ipam: { dataDir: file(directory) },
        delegate,
      }),
    });
    this.ours = flannel('ours', PLUGIN, 'ours');
    if (UPSTREAM) this.upstream = flannel('flannel + bridge + host-local (Go)', UPSTREAM, 'upstream');
    const ranges = [[{ subnet: `10.244.${SUBNET}.0/19` }]];
    const ipam = { type: 'host-local', dataDir: file('theirs'), ranges, routes: [{ dst: '10.244.0.0/16' }] };
    const bridge = { ...common, ...delegate, type: 'bridge', bridge: DEFAULT_BRIDGE, isGateway: true, mtu: 1450, ipam };
    this.theirs = {
      name: 'bridge + host-local (Go)',
      program: REFERENCE,
      host: this.addNetns('theirs'),
      store: file('theirs', 'bench'),
      conf: (ipMasq) => ({ ...bridge, ipMasq }),
    };
    for (let i = 0; i < CROWD; i++) this.pods.push(this.addNetns(`p${i}`));
  }

  alone(): Result[] {
    const against = this.upstream === undefined ? [] : this.takeTurns(' against upstream', false, this.upstream);
    return [...this.takeTurns('', false, this.theirs), ...against];
  }

  /** Every call starts the runtime, as the first one on a node does. */
  withoutResident(): Result[] {
    return existsSync(RESIDENT) ? [] : this.takeTurns(' without the resident process', false, this.theirs);
  }

  allowResident(): void {
    if (existsSync(RESIDENT)) return;
    mkdirSync(RESIDENT, { recursive: true, mode: 0o700 });
    this.madeResident = true;
  }

  /** Only where iptables is, on which the reference needs to rely. */
  masquerading(): Result[] {
    const hasIptables = spawnSync('iptables', ['--version']).status === 0;
    return this.takeTurns(' with masquerading', true, hasIptables ? this.theirs : undefined);
  }

  busy(pods: number): Result[] {
    const addresses = Array.from({ length: pods }, (_, i) => `10.244.${SUBNET + (i >> 8)}.${i & 255}`).slice(2);
    for (const { store } of [this.ours, this.theirs]) {
      mkdirSync(store, { recursive: true });
      for (const address of addresses) writeFileSync(path.join(store, address), `other-${address}\r\neth0`);
    }
    try {
      return this.takeTurns(` on a node with ${pods} pods`, false, this.theirs);
    } finally {
      for (const { store } of [this.ours, this.theirs]) {
        for (const address of addresses) rmSync(path.join(store, address), { force: true });
      }
    }
  }

  async crowd(): Promise<Result[]> {
    const times: Record<string, [number[], number[]]> = { ADD: [[], []], DEL: [[], []] };
    for (let round = 0; round < CROWD_ROUNDS; round++) {
      for (const [i, contender] of [this.ours, this.theirs].entries()) {
        for (const command of ['ADD', 'DEL']) times[command]![i]!.push(await this.allAtOnce(contender, command));
      }
    }
    return Object.entries(times).map(([command, [own, peer]]) =>
      summarize(`${CROWD} ${command}s at once`, 'ms', own, { name: this.theirs.name, runs: peer }),
    );
  }

  start(): Result {
    const run = (program: string): number[] =>
      Array.from({ length: ROUNDS }, () => this.call({ ...this.ours, program }, 'VERSION', 'x', false));
    return summarize('VERSION', 'ms', run(PLUGIN), { name: 'bridge (Go)', runs: run(REFERENCE) });
  }

  private takeTurns(what: string, masquerade: boolean, rival: Contender | undefined = undefined): Result[] {
    const contenders = rival === undefined ? [this.ours] : [this.ours, rival];
    const times: Record<string, [number[], number[]]> = { ADD: [[], []], DEL: [[], []] };
    // The first pod of a node makes the bridge; it is no measurement.
    for (let round = -1; round < ROUNDS; round++) {
      const pod = this.pods[(round + 1) % this.pods.length]!;
      for (const [i, contender] of contenders.entries()) {
        for (const command of ['ADD', 'DEL']) {
          const time = this.call(contender, command, pod, masquerade);
          if (round >= 0) times[command]![i]!.push(time);
        }
      }
    }
    return Object.entries(times).map(([command, [own, peer]]) =>
      summarize(`${command}${what}`, 'ms', own, rival && { name: rival.name, runs: peer }),
    );
  }

  private environment(command: string, pod: string): Record<string, string> {
    return {
      PATH: process.env.PATH ?? '',
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod,
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: path.dirname(REFERENCE),
    };
  }

  /** Milliseconds. The child inherits the namespace of this thread. */
  private call({ program, host, conf }: Contender, command: string, pod: string, masquerade: boolean): number {
    const options = {
      env: this.environment(command, pod),
      input: JSON.stringify(conf(masquerade)),
      encoding: 'utf8',
    } as const;
    return withNetns(`/run/netns/${host}`, () => {
      const start = performance.now();
      const { status, stdout, stderr } = spawnSync(program, [], options);
      const time = performance.now() - start;
      if (status !== 0) throw new Error(`${command} by ${program} ended with ${status}: ${stdout}${stderr}`);
      return time;
    });
  }

  private async allAtOnce({ program, host, conf }: Contender, command: string): Promise<number> {
    const input = JSON.stringify(conf(false));
    const start = performance.now();
    const ends = this.pods.map((pod) =>
      withNetns(`/run/netns/${host}`, () => {
        const child = spawn(program, [], { env: this.environment(command, pod), stdio: ['pipe', 'ignore', 'ignore'] });
        child.stdin.end(input);
        // A promise may not come out of withNetns, and this one does nothing in there.
        return { code: new Promise<number | null>((resolve) => child.once('close', resolve)) };
      }),
    );
    const failed = (await Promise.all(ends.map(({ code }) => code))).filter((code) => code !== 0).length;
    if (failed > 0) throw new Error(`${failed} of ${CROWD} ${command}s by ${program} failed`);
    return performance.now() - start;
  }

  private addNetns(suffix: string): string {
    const netns = `${this.id}-${suffix}`;
    createNetns(`/run/netns/${netns}`);
    this.netns.push(netns);
    return netns;
  }

  destroy(): void {
    if (this.madeResident) rmSync(RESIDENT, { recursive: true }); // by which the processes end
    for (const netns of this.netns) deleteNetns(`/run/netns/${netns}`);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

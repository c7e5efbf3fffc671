/** A stack with a cluster: kubectl, its pods, and what is on its nodes. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { controlGroupsNamed } from '../../infra/local/host/control-groups.ts';
import { machineProcess, runInMachine } from '../../infra/local/host/machine-process.ts';
import { machineRoot } from '../../infra/local/names.ts';
import { kubectlCommand } from '../../tools/src/commands/cluster.ts';
import { leftovers, processesIn, run, until } from '../e2e/support.ts';

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}

export class Cluster {
  constructor(readonly stack: string) {}

  /** Gives what kubectl says; fails with it. */
  async kubectl(...args: string[]): Promise<string> {
    const command = [...kubectlCommand(this.stack), ...args];
    const { code, stdout, stderr } = await run(command);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl('get', '--output=json', ...args)) as T;
  }

  /** Those that run, by their label. */
  pods(selector: string): Promise<Pod[]> {
    return this.podsIn('default', selector);
  }

  async podsIn(namespace: string, selector: string): Promise<Pod[]> {
    const { items } = await this.get<{ items: readonly PodObject[] }>(
      ...['pods', `--namespace=${namespace}`, `--selector=${selector}`],
    );
    return items
      .filter(({ status, metadata }) => status.phase === 'Running' && metadata.deletionTimestamp === undefined)
      .map(({ metadata, spec, status }) => ({ name: metadata.name, node: spec.nodeName, address: status.podIP }))
      .sort((a, b) => a.node.localeCompare(b.node));
  }

  /** The answer of what is at the target, asked in the pod. */
  ask(pod: Pod, protocol: 'http' | 'udp', target: string): Promise<string> {
    return this.kubectl('exec', pod.name, '--', 'hello', protocol, target);
  }

  /** Every pod asks every other one. Gives what was not answered. */
  async unanswered(pods: readonly Pod[]): Promise<string[]> {
    const failures: string[] = [];
    for (const from of pods) {
      for (const to of pods) {
        const asked = (['http', 'udp'] as const).map((protocol) => this.ask(from, protocol, `${to.address}:8080`));
        for (const answer of await Promise.allSettled(asked)) {
          if (answer.status === 'rejected') failures.push(`${from.name} -> ${to.name}: ${answer.reason}`);
          else if (!answer.value.startsWith(`${to.name} on ${to.node} `)) failures.push(answer.value);
        }
      }
    }
    return failures;
  }

  async applyPod(name: string, node: string, more: object = {}): Promise<void> {
    const container = { name, image: 'localhost/demo:1', imagePullPolicy: 'Never', ...more };
    const spec = { nodeName: node, terminationGracePeriodSeconds: 1, containers: [container] };
    const overrides = JSON.stringify({ apiVersion: 'v1', spec });
    await this.kubectl('run', name, '--image=localhost/demo:1', `--labels=app=${name}`, `--overrides=${overrides}`);
  }

  async ready(what: string, seconds = 60): Promise<void> {
    await this.kubectl('wait', '--for=condition=Ready', `--timeout=${seconds}s`, what);
  }

  async isReady(node: string): Promise<boolean> {
    const { status } = await this.get<NodeObject>(`node/${node}`);
    return status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  }

  /** Inside of a node, with its mounts and processes. */
  on(node: string, ...command: string[]): Promise<{ readonly code: number | undefined; readonly stdout: string }> {
    return runInMachine({ stack: this.stack, machine: node }, command);
  }

  /** The service of a unit, as process of the node. */
  async pidOf(node: string, unit: string): Promise<number> {
    const path = join(machineRoot(this.stack, node), 'run', `${unit}.status.json`);
    let pid: number | undefined;
    await until(`${unit} runs on ${node}`, () => {
      pid = (JSON.parse(readFileSync(path, 'utf8')) as { pid?: number }).pid;
      return pid !== undefined;
    });
    return pid!;
  }

  /** A process in the pod's network, by its address. */
  processOf({ address }: Pod): number {
    const mark = new RegExp(`\\s${address.replaceAll('.', '\\.')}/`);
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0] !== '/bin/hello') continue;
      } catch {
        continue; // ended meanwhile
      }
      const { stdout } = spawnSync('nsenter', [`--target=${pid}`, '--net', 'ip', '-4', '-o', 'addr'], {
        encoding: 'utf8',
      });
      if (mark.test(stdout)) return Number(pid);
    }
    throw new Error(`No process has the address ${address}`);
  }

  /** In a pod of the node. Undefined: there is none but `not`. */
  flanneldOf(node: string): number;
  flanneldOf(node: string, not: number): number | undefined;
  flanneldOf(node: string, not?: number): number | undefined {
    const found = processesIn(`/run/netns/flannel.${this.stack}.${node}`)
      .filter(({ command }) => command.startsWith('/opt/bin/flanneld -kube-subnet-mgr'))
      .find(({ pid }) => pid !== not);
    if (found === undefined && not === undefined) throw new Error(`There is no flanneld on ${node}`);
    return found?.pid;
  }

  /** Without the API server, which an exec would need. */
  pings(from: Pod, address: string): boolean {
    const command = [`--target=${this.processOf(from)}`, '--net', '--', 'ping', '-c', '1', '-W', '2', address];
    return spawnSync('nsenter', command).status === 0;
  }

  /** The node's power goes off. */
  cutPower(node: string): void {
    process.kill(machineProcess({ stack: this.stack, machine: node })!.pid, 'SIGKILL');
  }

  /** What the pods of a node hold: addresses, ends of their links, namespaces, sandboxes. */
  async holdings(node: string): Promise<Record<string, number>> {
    const lines = async (...command: string[]) =>
      (await this.on(node, ...command)).stdout.split('\n').filter((line) => line.trim() !== '').length;
    const networks = join(machineRoot(this.stack, node), 'var/lib/cni/networks/flannel');
    const addresses = existsSync(networks) ? readdirSync(networks).filter((name) => /^\d+\.\d+/.test(name)) : [];
    return {
      addresses: addresses.length,
      ports: await lines('ip', '-br', 'link', 'show', 'type', 'veth', 'master', 'cni0'),
      namespaces: await lines('ls', '/run/netns'),
      containers: await lines('ctr', '--namespace=k8s.io', 'containers', 'list', '--quiet'),
    };
  }

  /** Everything it could leave on this machine. */
  remains(): string[] {
    return [
      ...leftovers(this.stack),
      ...controlGroupsNamed(`flannel.${this.stack}.`).map((group) => `control group ${group}`),
    ];
  }
}

interface PodObject {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly phase: string; readonly podIP: string };
}

interface NodeObject {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

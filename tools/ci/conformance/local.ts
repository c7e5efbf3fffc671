/** The local environment: the probe runs in the network namespaces of pods and nodes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { netnsPath } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import type { Outputs } from '../../src/report/outputs.ts';
import { type CheckPlan, onePerNode, type Pod } from './checks.ts';
import type { Site, Substrate } from './substrate.ts';

/** Beyond it one pod stands for each node: the pairs grow with the square. */
const MAX_PODS = 8;

export class LocalSubstrate implements Substrate {
  private readonly servers: ChildProcess[] = [];
  private readonly probe: string;

  constructor(
    root: string,
    private readonly stack: string,
    private readonly outputs: Outputs,
  ) {
    this.probe = join(root, 'tools', 'ci', 'conformance', 'probe.mjs');
  }

  async open(port: number, signal: AbortSignal): Promise<Site> {
    const { nodes, pods: all } = this.outputs;
    const pods = all.length > MAX_PODS ? onePerNode(all) : all;
    const names = [...pods.map(({ netns }) => netns), ...nodes.map(({ name }) => netnsPath(this.stack, name))];
    await Promise.all(names.map((netns) => this.serve(netns, port, signal)));
    return { pods, nodes, reachableNodes: nodes };
  }

  async check(from: Pod, plan: CheckPlan, signal: AbortSignal): Promise<string> {
    const { netns } = this.outputs.pods.find(({ name }) => name === from.name)!;
    const child = spawn(...this.command(netns, 'check', JSON.stringify(plan)), { signal });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const [said, complaint, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    if (code === 0) return said;
    throw new ToolError('PROBE', `The probe in ${from.name} ended with ${code}: ${complaint.trim()}`);
  }

  async close(): Promise<void> {
    for (const server of this.servers.splice(0)) server.kill('SIGKILL');
  }

  private async serve(netns: string, port: number, signal: AbortSignal): Promise<void> {
    const child = spawn(...this.command(netns, 'serve', String(port)), {
      stdio: ['ignore', 'pipe', 'inherit'],
      signal,
    });
    this.servers.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('error', reject);
      child.once('close', (code) =>
        reject(new ToolError('PROBE', `The probe's server in ${netns} ended with ${code}`)),
      );
    });
    child.on('error', () => {}); // an abort ends it, and is told elsewhere
  }

  private command(netns: string, mode: string, argument: string): [string, string[]] {
    return ['nsenter', [`--net=${netns}`, '--', process.execPath, this.probe, mode, argument]];
  }
}

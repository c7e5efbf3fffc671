/** AWS: a pod on each node for the time of the tests, reached by Systems Manager. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Aws } from '@flannel-ts/infra/aws/cli';
import { runOnInstance } from '@flannel-ts/infra/aws/systems-manager';
import { ToolError } from '../../setup/errors.mjs';
import type { NodeOutput } from '../../src/report/outputs.ts';
import type { CheckPlan, Pod } from './checks.ts';
import { checkScript, closeScript, openScript } from './node-scripts.ts';
import type { Site, Substrate } from './substrate.ts';

/** How long a check may take; its node is there. */
const CHECK_SECONDS = 900;

interface Machine {
  readonly instance: string;
  readonly node: string;
  readonly address: string;
}

interface Described {
  readonly Reservations: readonly {
    readonly Instances: readonly { readonly InstanceId: string; readonly PrivateIpAddress: string }[];
  }[];
}

export class AwsSubstrate implements Substrate {
  private readonly probe: string;
  private machines: readonly Machine[] = [];

  constructor(
    root: string,
    /** As its machines' tag has it. */
    private readonly stack: string,
    /** What the stack says of its nodes: names for addresses. */
    private readonly nodes: readonly NodeOutput[],
    private readonly aws: Aws,
    private readonly mostMs?: number,
  ) {
    this.probe = readFileSync(join(root, 'tools', 'ci', 'conformance', 'probe.mjs'), 'utf8');
  }

  /** No rule lets a pod's own connection into another node, so nobody listens at the nodes' addresses. */
  async open(port: number, signal: AbortSignal): Promise<Site> {
    this.machines = await this.find(signal);
    if (this.machines.length === 0) {
      throw new ToolError('AWS', `No running instance has the tags flannel:stack=${this.stack} and flannel:role=node`);
    }
    const script = openScript(this.probe, port);
    const pods = await Promise.all(
      this.machines.map(async ({ instance, node }) => {
        return { name: `pod-of-${node}`, node, address: (await this.run(instance, script, signal)).trim() };
      }),
    );
    return { pods, nodes: this.machines.map(({ node: name, address }) => ({ name, address })), reachableNodes: [] };
  }

  async check({ node }: Pod, plan: CheckPlan, signal: AbortSignal): Promise<string> {
    const { instance } = this.machines.find((machine) => machine.node === node)!;
    const packed = await this.run(instance, checkScript(plan), signal);
    return gunzipSync(Buffer.from(packed.trim(), 'base64')).toString();
  }

  /** Without the signal: after an interruption there is just as much to remove. */
  async close(): Promise<void> {
    await Promise.allSettled(this.machines.map(({ instance }) => this.run(instance, closeScript())));
  }

  private run(instance: string, script: string, signal?: AbortSignal): Promise<string> {
    return runOnInstance(this.aws, instance, script, {
      comment: `flannel ${this.stack}: conformance`,
      seconds: CHECK_SECONDS,
      ...(signal && { signal }),
      ...(this.mostMs !== undefined && { mostMs: this.mostMs }),
    });
  }

  private async find(signal: AbortSignal): Promise<Machine[]> {
    const filters = [
      `Name=tag:flannel:stack,Values=${this.stack}`,
      'Name=tag:flannel:role,Values=node',
      'Name=instance-state-name,Values=running',
    ];
    const found = (await this.aws(['ec2', 'describe-instances', '--filters', ...filters], signal)) as Described;
    return found.Reservations.flatMap(({ Instances }) => Instances).map(({ InstanceId, PrivateIpAddress }) => {
      const known = this.nodes.find(({ address }) => address === PrivateIpAddress);
      return { instance: InstanceId, node: known?.name ?? InstanceId, address: PrivateIpAddress };
    });
  }
}

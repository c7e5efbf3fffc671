/** A stack of this repository in the double, and what the tests of all stacks ask about it. */
import { gunzipSync } from 'node:zlib';
import type { JournalEntry, ResourceView } from '../double/protocol.ts';
import { type MadeArtifact, makeArtifact } from './artifacts.ts';
import { Double } from './double.ts';
import { Project, type Result, type Settings } from './project.ts';

export class DoubleStack {
  private constructor(
    readonly name: string,
    readonly double: Double,
    readonly project: Project,
    private readonly architecture: string,
  ) {}

  /** Makes the stack, with its own settings and made-up artifacts, in an account of its own. */
  static async start(name: string, settings: Settings = {}): Promise<DoubleStack> {
    const double = await Double.start();
    const project = await Project.ofRepository(double);
    await project.init(name, settings);
    const stack = new DoubleStack(name, double, project, (await project.setting(name, 'architecture')) ?? 'amd64');
    const artifact = stack.artifact('flannel', '1').directory;
    const etcdArtifact = stack.artifact('etcd', '1').directory;
    await project.configure(name, { artifact, etcdArtifact });
    return stack;
  }

  async stop(): Promise<void> {
    await this.double.stop();
    this.project.remove();
  }

  artifact(product: 'flannel' | 'etcd', version: string): MadeArtifact {
    return makeArtifact(this.project.directory, product, version, this.architecture);
  }

  /** `up` with other settings; what was done for it, in the order in which it began. */
  async change(settings: Settings): Promise<Work> {
    await this.project.configure(this.name, settings);
    await this.double.clearJournal();
    await this.project.up(this.name);
    return new Work(await this.double.done());
  }

  async work(command: () => Promise<Result>): Promise<Work> {
    await this.double.clearJournal();
    await command();
    return new Work(await this.double.done());
  }

  async find(type: string): Promise<readonly ResourceView[]> {
    return (await this.double.resources()).filter((resource) => shortType(resource.type) === type);
  }

  /** Every private key that the stack's state holds, as PEM, and as the one long line that is inside of it. */
  async secrets(): Promise<readonly string[]> {
    const state = JSON.stringify(await this.project.state(this.name, '--show-secrets'));
    const keys = state.match(/-----BEGIN (?:EC )?PRIVATE KEY-----.+?-----END (?:EC )?PRIVATE KEY-----/g) ?? [];
    return [...new Set(keys.map((key) => key.replaceAll(/-----[^-]+-----|\\+n/g, '').slice(0, 40)))];
  }
}

/** "Vpc" of "aws:ec2/vpc:Vpc". */
export function shortType(type: string): string {
  return type.split(':').at(-1)!;
}

/** What was done to the account by one command. */
export class Work {
  constructor(readonly entries: readonly JournalEntry[]) {}

  /** "create Subnet network-node-0", sorted. */
  get all(): readonly string[] {
    return this.entries.map(describe).sort();
  }

  /** The types that were touched in this way, without repetition, sorted. */
  types(...operations: readonly JournalEntry['operation'][]): readonly string[] {
    const chosen = this.entries.filter(({ operation }) => operations.includes(operation));
    return [...new Set(chosen.map(({ type }) => shortType(type)))].sort();
  }

  names(operation: JournalEntry['operation'], type: string): readonly string[] {
    return this.of(operation, type).map(({ name }) => name);
  }

  of(operation: JournalEntry['operation'], type: string): readonly JournalEntry[] {
    return this.entries.filter((entry) => entry.operation === operation && shortType(entry.type) === type);
  }

  get failures(): readonly string[] {
    return this.entries.flatMap((entry) => (entry.error === undefined ? [] : [`${describe(entry)}: ${entry.error}`]));
  }

  /** Pairs of which the second began before the first had ended; empty when all of the first came before all of the second. */
  notBefore(first: readonly JournalEntry[], second: readonly JournalEntry[]): readonly string[] {
    if (first.length === 0 || second.length === 0) return ['nothing to compare'];
    return first.flatMap((one) =>
      second
        .filter((other) => one.end === undefined || other.begin < one.end)
        .map((other) => `${describe(other)} before ${describe(one)}`),
    );
  }
}

function describe({ operation, type, name }: JournalEntry): string {
  return `${operation} ${shortType(type)} ${name}`;
}

/** What a machine is told at its boot, as text. */
export function userDataOf(inputs: Readonly<Record<string, unknown>>): string {
  const encoded = String(inputs.userData ?? inputs.userDataBase64 ?? '');
  const raw = Buffer.from(encoded, 'base64');
  return (raw[0] === 0x1f && raw[1] === 0x8b ? gunzipSync(raw) : raw).toString();
}

/** The addresses that a stack tells of its nodes. */
export async function stackAddresses(stack: DoubleStack): Promise<readonly string[]> {
  const { nodes } = await stack.project.outputs<{ nodes: readonly { readonly address: string }[] }>(stack.name);
  return nodes.map(({ address }) => address);
}

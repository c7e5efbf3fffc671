/** An AWS account that exists in memory: what was made in it, who refers to whom, and what it was asked. */
import { createHash } from 'node:crypto';
import { ApiError } from './errors.ts';
import type { Fault, Hold, JournalEntry } from './protocol.ts';
import { type Bag, bags, plain, texts, type Value } from './values.ts';

export const ACCOUNT = '123456789012';

export interface Resource {
  readonly urn: string;
  readonly type: string;
  readonly id: string;
  readonly region: string;
  /** With the marks of secrets. */
  inputs: Bag;
  outputs: Bag;
}

/** A machine of a group. It holds its subnet, its groups and its instance profile as any instance does. */
export interface Machine {
  readonly id: string;
  state: 'Pending:Wait' | 'InService' | 'Terminating:Wait';
  readonly group: string;
  readonly subnetId: string;
  readonly address: string;
  readonly securityGroups: readonly string[];
  readonly launchTemplate: string;
  readonly launchTemplateVersion: string;
  readonly tags: Bag;
}

/** In which somebody asks for a resource. */
export interface Context {
  readonly cloud: Cloud;
  readonly region: string;
  /** The provider's default tags. */
  readonly defaultTags: Bag;
  /** The last part of the URN. */
  readonly name: string;
}

/** Of a group: its machines are replaced one after another, as time passes. */
export interface Refresh {
  status: 'InProgress' | 'Successful' | 'Cancelled' | 'RollbackInProgress' | 'RollbackSuccessful';
  reason: string;
  readonly context: Context;
}

/** Of Systems Manager, to one machine. */
export interface Command {
  readonly id: string;
  readonly instance: string;
  /** As which it ends, once it has been asked for often enough. */
  readonly end: { readonly status: 'Success' | 'Failed'; readonly error: string };
  readonly ended: () => void;
  asked: number;
}

export class Cloud {
  readonly resources = new Map<string, Resource>();
  readonly machines = new Map<string, Machine>();
  /** The versions of each launch template, the first one first. */
  readonly templates = new Map<string, Bag[]>();
  /** By group, the last one first. */
  readonly refreshes = new Map<string, Refresh[]>();
  /** Ids of machines whose agent has reported to Systems Manager. */
  readonly reported = new Set<string>();
  readonly commands = new Map<string, Command>();
  /** Machines of groups whose user-data has this in it never get ready. */
  neverReady: string | undefined;
  journal: JournalEntry[] = [];
  private faults: { fault: Fault; seen: number }[] = [];
  private holds: Hold[] = [];
  /** How many images Amazon has published since the beginning. */
  published = 0;
  private clock = 0;
  private ids = 0;

  reset(): void {
    this.resources.clear();
    this.machines.clear();
    this.templates.clear();
    this.refreshes.clear();
    this.neverReady = undefined;
    this.faults = [];
    this.journal = [];
    this.published = 0;
  }

  /** The counter goes on and on, so no id is ever given twice. */
  newId(prefix: string): string {
    this.ids += 1;
    const digits = createHash('sha256').update(`${prefix} ${this.ids}`).digest('hex').slice(0, 12);
    return `${prefix}-0${digits}${this.ids.toString(16).padStart(4, '0')}`;
  }

  put(resource: Resource): void {
    this.resources.set(key(resource.type, resource.id), resource);
  }

  get(type: string, id: string): Resource | undefined {
    return this.resources.get(key(type, id));
  }

  remove(type: string, id: string): void {
    this.resources.delete(key(type, id));
  }

  all(type: string): Resource[] {
    return [...this.resources.values()].filter((resource) => resource.type === type);
  }

  byUrn(urn: string): Resource {
    const found = [...this.resources.values()].find((resource) => resource.urn === urn);
    if (found === undefined) throw new Error(`There is no resource ${urn} in the double`);
    return found;
  }

  /** The resource of this type whose id, ARN or name this is. */
  find(type: string, reference: string): Resource | undefined {
    const direct = this.get(type, reference);
    if (direct !== undefined) return direct;
    return this.all(type).find(({ outputs }) => outputs.arn === reference || outputs.name === reference);
  }

  require(type: string, reference: string, code: string, what: string): Resource {
    const found = this.find(type, reference);
    if (found === undefined) throw new ApiError(code, `The ${what} '${reference}' does not exist`);
    return found;
  }

  /** Those of a type that name `reference` at `path`, as in "launchTemplate.id" or "vpcSecurityGroupIds". */
  users(type: string, path: string, reference: string): Resource[] {
    return this.all(type).filter(({ inputs }) => at(plain(inputs), path).includes(reference));
  }

  begin(entry: Omit<JournalEntry, 'begin'>): JournalEntry {
    this.clock += 1;
    const begun = { begin: this.clock, ...entry };
    this.journal.push(begun);
    return begun;
  }

  end(entry: JournalEntry): void {
    this.clock += 1;
    entry.end = this.clock;
  }

  fail(fault: Fault): void {
    this.faults.push({ fault, seen: 0 });
  }

  hold(hold: Hold): void {
    this.holds.push(hold);
  }

  /** Waits as long as it was told for such a request, once. */
  async waitFor(operation: Fault['operation'], type: string): Promise<void> {
    const hold = this.holds.find((each) => each.operation === operation && each.type === type);
    if (hold === undefined) return;
    this.holds = this.holds.filter((each) => each !== hold);
    await new Promise((resolve) => setTimeout(resolve, hold.seconds * 1000));
  }

  clearFaults(): void {
    this.holds = [];
    this.faults = [];
    this.neverReady = undefined;
  }

  /** The fault that strikes this request, if one does. */
  strike(operation: Fault['operation'], type: string, name: string): Fault | undefined {
    const matching = this.faults.filter(
      ({ fault }) => fault.operation === operation && fault.type === type && (fault.name ?? name) === name,
    );
    for (const each of matching) each.seen += 1;
    return matching.find(({ fault: { nth = 1, times = 1 }, seen }) => seen >= nth && seen < nth + times)?.fault;
  }
}

function key(type: string, id: string): string {
  return `${type} ${id}`;
}

/** All strings at a path; lists are gone through. */
export function at(value: Value | undefined, path: string): readonly string[] {
  const [first = '', ...rest] = path.split('.');
  if (path === '') return texts(value);
  return bags(value).flatMap((bag) => at(bag[first], rest.join('.')));
}

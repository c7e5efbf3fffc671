/** A provider at work: what the CLI asks, faults on demand, and the journal of it all. */
import type { Cloud, Context, Resource } from './cloud.ts';
import type { Fault, JournalEntry, Operation } from './protocol.ts';
import type { Difference, Provider } from './provider.ts';
import type { Problem } from './schema.ts';
import { HalfMade, type Made, type Package, type Request } from './server.ts';
import { type Bag, isBag, plain, redacted, text, type Value } from './values.ts';

interface Configuration {
  readonly region: string;
  readonly defaultTags: Bag;
}

export interface PackageOptions {
  readonly cloud: Cloud;
  readonly provider: Provider;
  readonly invoke: (token: string, args: Bag, place: { readonly cloud: Cloud; readonly region: string }) => Bag;
  /** What the provider's configuration has to have. */
  readonly needsRegion: boolean;
}

export class DoubledPackage implements Package {
  private readonly configurations = new Map<string, Configuration>();
  readonly version: string;

  constructor(private readonly options: PackageOptions) {
    this.version = options.provider.schema.version;
  }

  checkConfig(request: Request, inputs: Bag): readonly Problem[] {
    const entry = this.begin('checkConfig', request, false, inputs);
    const { schema } = this.options.provider;
    const decoded = decode(inputs);
    const problems = schema.check(schema.provider(), decoded);
    this.options.cloud.end(entry);
    const { region } = decoded;
    if (!this.options.needsRegion || (region ?? null) !== null) return problems;
    return [...problems, { property: 'region', reason: 'is not set, and there is no AWS_REGION' }];
  }

  configure(connection: string, inputs: Bag): void {
    const { defaultTags, region } = plain(decode(inputs));
    const tags = isBag(defaultTags) && isBag(defaultTags.tags) ? defaultTags.tags : {};
    this.configurations.set(connection, { region: typeof region === 'string' ? region : '', defaultTags: tags });
  }

  check(request: Request, olds: Bag, news: Bag, seed: Uint8Array): { inputs: Bag; problems: Problem[] } {
    return this.logged('check', request, false, news, () =>
      this.options.provider.check(request.type, olds, news, seed, request.name),
    );
  }

  diff(request: Request, oldInputs: Bag, news: Bag, outputs: Bag): Difference {
    const entry = this.begin('diff', request, false, news);
    const { defaultTags } = this.configurationOf(request.connection);
    const difference = this.options.provider.diff(request.type, oldInputs, news, outputs, defaultTags);
    entry.replaces = difference.replaces;
    this.options.cloud.end(entry);
    return difference;
  }

  create(request: Request, inputs: Bag, preview: boolean): Promise<Made> {
    const { provider } = this.options;
    return this.working('create', request, preview, inputs, async (entry, fault) => {
      if (preview) return { id: '', outputs: provider.previewCreate(inputs) };
      const resource = await provider.create(request.type, request.urn, inputs, this.context(request));
      entry.id = resource.id;
      const made = { id: resource.id, outputs: resource.outputs };
      if (fault !== undefined) throw new HalfMade(fault.message, made, inputs);
      return made;
    });
  }

  read(request: Request, id: string, inputs: Bag): Promise<(Made & { readonly inputs: Bag }) | undefined> {
    return this.working('read', request, false, inputs, async (entry) => {
      entry.id = id;
      const found = this.options.cloud.get(request.type, id);
      return found === undefined ? undefined : { id, inputs: found.inputs, outputs: found.outputs };
    });
  }

  update(request: Request, id: string, olds: Bag, news: Bag, preview: boolean): Promise<Bag> {
    const { provider } = this.options;
    return this.working('update', request, preview, news, async (entry) => {
      entry.id = id;
      if (preview) return provider.previewUpdate(request.type, olds, news);
      return (await provider.update(request.type, id, news, this.context(request))).outputs;
    });
  }

  delete(request: Request, id: string): Promise<void> {
    return this.working('delete', request, false, {}, async (entry) => {
      entry.id = id;
      this.options.provider.delete(request.type, id, this.context(request));
    });
  }

  invoke(connection: string, token: string, args: Bag): Bag {
    const request = { connection, urn: '', type: token, name: token.split(':').at(-1)! };
    return this.logged('invoke', request, false, args, () => {
      const { region } = this.configurationOf(connection);
      return this.options.invoke(token, plain(args), {
        cloud: this.options.cloud,
        region: text(args, 'region') ?? region,
      });
    });
  }

  private context({ connection, name }: Request): Context {
    return { cloud: this.options.cloud, name, ...this.configurationOf(connection) };
  }

  private configurationOf(connection: string): Configuration {
    return this.configurations.get(connection) ?? { region: '', defaultTags: {} };
  }

  /** With the fault that is due: before the work, unless the resource is to be half made. */
  private async working<T>(
    operation: Fault['operation'],
    request: Request,
    preview: boolean,
    inputs: Bag,
    work: (entry: JournalEntry, fault: Fault | undefined) => Promise<T>,
  ): Promise<T> {
    const { cloud } = this.options;
    const entry = this.begin(operation, request, preview, inputs);
    try {
      const fault = preview ? undefined : cloud.strike(operation, request.type, request.name);
      if (fault !== undefined && !fault.halfMade) throw new Error(fault.message);
      if (!preview) await cloud.waitFor(operation, request.type);
      return await work(entry, fault);
    } catch (error) {
      entry.error = (error as Error).message;
      throw error;
    } finally {
      cloud.end(entry);
    }
  }

  private logged<T>(operation: Operation, request: Request, preview: boolean, inputs: Bag, work: () => T): T {
    const entry = this.begin(operation, request, preview, inputs);
    try {
      return work();
    } catch (error) {
      entry.error = (error as Error).message;
      throw error;
    } finally {
      this.options.cloud.end(entry);
    }
  }

  private begin(operation: Operation, { type, name, urn }: Request, preview: boolean, inputs: Bag): JournalEntry {
    const shown = redacted(inputs) as Record<string, unknown>;
    return this.options.cloud.begin({ operation, type, name, urn, preview, inputs: shown });
  }
}

/** A provider's own properties come as strings; what is no string is JSON. */
function decode(inputs: Bag): Bag {
  return Object.fromEntries(
    Object.entries(inputs)
      .filter(([key]) => key !== 'version' && !key.startsWith('__'))
      .map(([key, value]) => [key, decodeValue(value)]),
  );
}

function decodeValue(value: Value): Value {
  if (typeof value !== 'string' || !/^(?:[{["]|true$|false$|\d+$)/.test(value)) return value;
  return JSON.parse(value) as Value;
}

export function view({ urn, type, id, inputs, outputs }: Resource): {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly id: string;
  readonly inputs: Record<string, unknown>;
  readonly outputs: Record<string, unknown>;
} {
  const shown = (bag: Bag): Record<string, unknown> => redacted(bag) as Record<string, unknown>;
  return { urn, type, name: urn.split('::').at(-1)!, id, inputs: shown(inputs), outputs: shown(outputs) };
}

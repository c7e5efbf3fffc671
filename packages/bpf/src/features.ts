/**
 * What a kernel can, found out by trying it. A program calls first and asks here only to explain a failure, or to choose beforehand. Each
 * probe is an object with a name, the first Linux version that has it, and a result that is found once.
 */
import { release } from 'node:os';
import { call, mov, returns } from './assembler.ts';
import { BpfError, VerifierError } from './errors.ts';
import { HELPERS, type HelperName } from './helpers.ts';
import type { Code } from './instruction.ts';
import { createMap, type MapType } from './map.ts';
import { loadProgram, type ProgramType } from './program.ts';

export type Support =
  | { readonly state: 'supported' }
  /** The kernel does not have it. */
  | { readonly state: 'not supported'; readonly why: string }
  /** Something else is in the way: a capability, a limit. It says nothing about the kernel. */
  | { readonly state: 'could not test'; readonly why: string };

export class Feature {
  #result: Support | undefined;

  constructor(
    readonly name: string,
    /** As `5.10`; distributions may have it in older ones. */
    readonly since: string,
    private readonly probe: () => void,
    private readonly isAbsence: (error: unknown) => boolean,
  ) {}

  get support(): Support {
    this.#result ??= this.#ask();
    return this.#result;
  }

  /** One sentence, for what cannot be used. */
  describe(): string {
    const { support } = this;
    if (support.state === 'supported') return `${this.name}: supported`;
    if (support.state === 'could not test') return `${this.name}: could not be tested (${support.why})`;
    return `${this.name}: not supported by Linux ${release()} (it came with ${this.since})`;
  }

  #ask(): Support {
    try {
      this.probe();
      return { state: 'supported' };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { state: this.isAbsence(error) ? 'not supported' : 'could not test', why };
    }
  }
}

export const BPF_SYSCALL = new Feature('bpf(2)', '4.4', () => tryMap('array'), notSupported);

/** Whether programs of a type can be loaded: the least one. */
export function programFeature(type: ProgramType, since: string): Feature {
  return new Feature(`programs of type ${type}`, since, () => tryProgram(type, returns(0)), notSupported);
}

export function mapFeature(type: MapType, since: string): Feature {
  return new Feature(`maps of type ${type}`, since, () => tryMap(type), notSupported);
}

/** A call with wrong arguments: the verifier knows the helper, or says that it does not. */
export function helperFeature(helper: HelperName, type: ProgramType, since: string): Feature {
  const probe = (): void => {
    try {
      tryProgram(type, [mov('r1', 0), call(helper), returns(0)]);
    } catch (error) {
      if (error instanceof VerifierError && !isUnknownHelper(error, helper)) return;
      throw error;
    }
  };
  const isAbsence = (error: unknown): boolean =>
    notSupported(error) || (error instanceof VerifierError && isUnknownHelper(error, helper));
  return new Feature(`helper bpf_${helper}`, since, probe, isAbsence);
}

/** In the words of all kernels: "invalid func unknown#N", "unknown func", "program of this type cannot use helper". */
function isUnknownHelper({ log }: VerifierError, helper: HelperName): boolean {
  return /invalid func|unknown func|cannot use helper/.test(log) && log.includes(`#${HELPERS[helper]}`);
}

function tryProgram(type: ProgramType, code: Code): void {
  loadProgram({ type, name: 'probe', code }).close();
}

function tryMap(type: MapType): void {
  const keyBytes = type === 'queue' || type === 'ring-buffer' ? 0 : type === 'lpm-trie' ? 8 : 4;
  const [valueBytes, maxEntries] = type === 'ring-buffer' ? [0, 4096] : [8, 1];
  createMap({ type, name: 'probe', keyBytes, valueBytes, maxEntries }).close();
}

function notSupported(error: unknown): boolean {
  return (
    error instanceof BpfError && (error.code === 'NOT_SUPPORTED' || (error.code === 'FAILED' && isInvalid(error.cause)))
  );
}

/** EINVAL: a type that is not known. */
function isInvalid(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'EINVAL';
}

/** What a machine with several services boots with, composed of parts: each service has a function that gives its part. Pure. */
import type { BootFile, Unit } from './files.ts';

export interface MachineUnit extends Unit {
  /** Units that are ready before this one is started. */
  readonly after?: readonly string[];
  /** Files whose change restarts it, by path. */
  readonly reads: readonly string[];
}

/** A symbolic link. */
export interface BootLink {
  readonly path: string;
  readonly target: string;
}

export interface MachinePlan {
  readonly files: readonly BootFile[];
  readonly links?: readonly BootLink[];
  readonly units: readonly MachineUnit[];
}

export function composeMachine(...parts: readonly MachinePlan[]): Required<MachinePlan> {
  return {
    files: parts.flatMap(({ files }) => files),
    links: parts.flatMap(({ links = [] }) => links),
    units: parts.flatMap(({ units }) => units),
  };
}

/** A service that reads all files of its part. */
export function part(
  files: readonly BootFile[],
  unit: Omit<MachineUnit, 'reads'>,
  alsoReads: readonly string[] = [],
): MachinePlan {
  return { files, units: [{ ...unit, reads: [...files.map(({ path }) => path), ...alsoReads] }] };
}

export function textFile(path: string, content: string): BootFile {
  return { path, mode: '0644', content };
}

/** As YAML takes it, too. */
export function jsonFile(path: string, content: object): BootFile {
  return textFile(path, `${JSON.stringify(content, undefined, 2)}\n`);
}

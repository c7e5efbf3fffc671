/** What a machine is told: a directory with a descriptor for each of its units. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Descriptor, readDescriptor } from '../supervisor/descriptor.ts';

export interface UnitDescriptor extends Descriptor {
  /** Units that are ready before this one is started. */
  readonly after: readonly string[];
}

export function readDescriptors(directory: string): UnitDescriptor[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => readDescriptor(join(directory, name)) as UnitDescriptor);
}

/** Pulumi's YAML files, read by the parser that Pulumi's SDK itself brings. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ToolError } from '../../setup/errors.mjs';

/** Undefined if there is no such file; an empty one is an empty object. */
export function readYaml(root: string, path: string): Readonly<Record<string, unknown>> | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return (parserOf(root).load(text) ?? {}) as Record<string, unknown>;
  } catch (error) {
    throw new ToolError('YAML', `${path} is not valid YAML: ${(error as Error).message.split('\n')[0]}`);
  }
}

function parserOf(root: string): { load(text: string): unknown } {
  const fromRoot = createRequire(join(root, 'package.json'));
  return createRequire(fromRoot.resolve('@pulumi/pulumi/package.json'))('js-yaml');
}

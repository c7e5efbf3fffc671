import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { machineRoot, stackDirectory } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { flag } from '../pulumi/names.ts';

export async function logs(_: Context, { stack, words: [machine = ''], follow, lines }: Options): Promise<number> {
  const service = /^etcd-\d+$/.test(machine) ? 'etcd' : 'flanneld';
  const file = join(machineRoot(stack, machine), 'var', 'log', `${service}.log`);
  if (!/^[a-z0-9-]+$/.test(machine) || !existsSync(file)) throw noLog(stack, machine);
  // By name, so that it goes on in the new file when the log is rotated.
  const code = await runInteractive('tail', ['-n', String(lines), ...(follow ? ['-F'] : []), file]);
  return follow && code === 130 ? 0 : code; // Ctrl-C is how one ends it
}

function noLog(stack: string, machine: string): ToolError {
  const directory = join(stackDirectory(stack), 'nodes');
  const machines = existsSync(directory) ? readdirSync(directory).sort() : [];
  const known = machines.length > 0 ? `use one of ${machines.join(', ')}` : `"npm run up${flag(stack)}" makes some`;
  return new ToolError('NO_LOG', `There is no log of "${machine}" in the stack "${stack}": ${known}`);
}

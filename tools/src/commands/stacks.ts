import type { Context } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { listStacks } from '../pulumi/stack.ts';
import { formatTable } from '../report/table.ts';
import { terminalWidth } from '../terminal.ts';

interface Summary {
  readonly name: string;
  readonly lastUpdate?: string;
  readonly updateInProgress?: boolean;
  readonly resourceCount?: number;
}

/** Lists the stacks that the backend knows. */
export async function stacks(context: Context): Promise<number> {
  const all = await listStacks<Summary>(new Pulumi(context));
  process.stdout.write(`${formatStacks(all, terminalWidth())}\n`);
  return 0;
}

export function formatStacks(all: readonly Summary[], width: number): string {
  if (all.length === 0) return 'There are no stacks: "npm run up" creates one';
  const rows = all.map(({ name, resourceCount, lastUpdate, updateInProgress }) => [
    name.split('/').at(-1)!,
    resourceCount === undefined ? '?' : String(resourceCount),
    updateInProgress ? 'now' : (lastUpdate?.replace(/\.\d+Z$/, 'Z') ?? 'never'),
  ]);
  return formatTable([['STACK', 'RESOURCES', 'LAST CHANGE'], ...rows.sort()], width);
}

import { existsSync, readdirSync } from 'node:fs';
import { NETNS_ROOT, netnsPath, parseNetnsName } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { flag } from '../pulumi/names.ts';

export async function shell({ env }: Context, { stack, words: [part = '', ...command] }: Options): Promise<number> {
  const netns = netnsPath(stack, part);
  if (!/^[a-z0-9-]+$/.test(part) || !existsSync(netns)) throw noPart(stack, part);
  // nsenter and not "ip netns exec", which would also put another /sys in the place of this one.
  const inside = command.length > 0 ? command : [env.SHELL || '/bin/sh'];
  const names = { FLANNEL_STACK: stack, FLANNEL_PART: part };
  return runInteractive('nsenter', [`--net=${netns}`, '--', ...inside], { env: { ...env, ...names } });
}

function noPart(stack: string, part: string): ToolError {
  const names = existsSync(NETNS_ROOT) ? readdirSync(NETNS_ROOT) : [];
  const parts = names.map(parseNetnsName).filter((name) => name?.stack === stack);
  const known =
    parts.length > 0
      ? `use one of ${parts
          .map((name) => name!.part)
          .sort()
          .join(', ')}`
      : `"npm run up${flag(stack)}" makes some`;
  return new ToolError('NO_PART', `There is no "${part}" in the stack "${stack}": ${known}`);
}

/** Completion for shells, from the tables of commands and flags. Pure. */
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export const SHELLS: readonly string[] = Object.keys(SCRIPTS);

/** The script to be read by one of these shells. */
export function completionFor(shell: string): string {
  return SCRIPTS[shell]!();
}

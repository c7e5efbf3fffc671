/** Checks a stack's settings with the program's own validator, before Pulumi starts and before anything is stored. */

import { suggestion } from '@flannel-ts/flannel/suggest';
import { type Problem, SettingsError } from '@flannel-ts/infra/reader';
import { parseSettings, SETTING_KEYS } from '@flannel-ts/infra/settings';
import { ToolError, UsageError } from '../../setup/errors.mjs';
import { flag } from '../pulumi/names.ts';
import {
  applyChanges,
  type Changes,
  ownKey,
  readDefaults,
  readStored,
  type Settings,
  type Stored,
} from './effective.ts';

export interface Checked {
  readonly stored: Stored;
  /** What the stack's file is to hold. */
  readonly own: Settings;
  /** With the project's defaults. */
  readonly effective: Settings;
}

/** Throws one error with a sentence for each mistake. Its exit code is 2 if this command makes one, 1 if all are stored. */
export function checkSettings(root: string, stack: string, changes: Changes): Checked {
  const defaults = readDefaults(root);
  const stored = readStored(root, stack);
  assertUnsettable(stored, changes.unset);
  const own = applyChanges(defaults, stored.settings, changes);
  const before = applyChanges(defaults, stored.settings, { set: {}, unset: changes.unset });
  const foreign = stored.foreign.filter((key) => !changes.unset.includes(key));
  const problems = problemsOf(stack, defaults, own);
  if (problems.length > 0 || foreign.length > 0) {
    const old = new Set(problemsOf(stack, defaults, before).map(({ message }) => message));
    const added = problems.filter(({ message }) => !old.has(message));
    const kept = problems.filter(({ message }) => old.has(message));
    const lines = [
      ...added.map(({ message }) => message),
      ...kept.map((problem) => `${problem.message}; ${wayOut(stack, stored, problem.key)}`),
      ...foreign.map((key) => `There is no setting "${key}": ${wayOut(stack, stored, key)}`),
    ];
    throw new ToolError('SETTINGS', lines.join('\n'), { exitCode: added.length > 0 ? 2 : 1 });
  }
  return { stored, own, effective: new Map([...defaults, ...own]) };
}

function problemsOf(stack: string, defaults: Settings, own: Settings): readonly Problem[] {
  const effective = new Map([...defaults, ...own]);
  try {
    parseSettings(stack, { get: (key) => effective.get(key), keys: [...own.keys()] });
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
}

function wayOut(stack: string, { file, settings }: Stored, key: string | undefined): string {
  const head = key?.split('.')[0];
  if (head === undefined || !(settings.has(head) || key?.includes(':')))
    return `it comes from ${file}: change it there`;
  return `it is stored in ${file}, "npm run up${flag(stack, `--unset ${key}`)}" removes it from there`;
}

function assertUnsettable({ settings, foreign, file }: Stored, unset: readonly string[]): void {
  for (const key of unset) {
    const head = (ownKey(key) ?? key).split('.')[0]!;
    if (settings.has(head) || foreign.includes(key)) continue;
    const set = [...settings.keys(), ...foreign];
    const hint = SETTING_KEYS.includes(head)
      ? 'its default is in force'
      : set.length > 0
        ? suggestion(key, set)
        : 'it holds no settings';
    throw new UsageError(`--unset ${key}: ${file} does not set it; ${hint}`);
  }
}

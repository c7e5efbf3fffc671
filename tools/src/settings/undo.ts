/** How to take back what a command has stored. Pure. */
import type { Settings } from './effective.ts';

export interface SettingChange {
  readonly key: string;
  /** Undefined where the stack had no such setting, and the project has none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** For the command line: brings the former value back. */
  readonly undo: string;
}

/** `stored`: what the stack's file held; `own`: what it holds now. */
export function settingChanges(defaults: Settings, stored: Settings, own: Settings): SettingChange[] {
  const keys = [...new Set([...stored.keys(), ...own.keys()])];
  return keys
    .filter((key) => stored.get(key) !== own.get(key))
    .map((key) => {
      const had = stored.get(key);
      return {
        key,
        before: had ?? defaults.get(key),
        after: own.get(key) ?? defaults.get(key),
        undo: had === undefined ? `--unset ${key}` : `--config ${shellWord(`${key}=${had}`)}`,
      };
    });
}

export function describeChanges(changes: readonly SettingChange[]): string {
  return changes
    .map(({ key, before, after }) => `${key} is ${after ?? 'not set'} and was ${before ?? 'not set'}`)
    .join('; ');
}

export function shellWord(text: string): string {
  return /^[\w.,:/=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The flags in effect, for a support archive: every value but those of secrets, and where it comes from. */
import { messageOf } from './errors.ts';
import { FLAGS } from './flag-table.ts';
import { valuesOf } from './flag-values.ts';
import { type FlagSpec, type FlagTable, type ParsedFlags, parseFlags } from './flags.ts';
import type { FlagReport } from './operate/support/command.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `table`: all flags that may be given; those of commands are not told. */
export function reportFlags(argv: readonly string[], environment: Environment, table: FlagTable = FLAGS): FlagReport {
  let flags: ParsedFlags;
  try {
    flags = parseFlags(table, argv);
  } catch (error) {
    // Which word is a secret cannot be told.
    return { text: `The command line cannot be read: ${messageOf(error)}\n`, secrets: [] };
  }
  const values = valuesOf(flags, environment, []);
  const lines = Object.entries<FlagSpec>(FLAGS).map(([name, spec]) => {
    const given = values.get(name);
    if (given === undefined) return `-${name}=${spec.fallback} (default)\n`;
    const where = flags.given.has(name) ? 'command line' : 'environment';
    return given.map((value) => `-${name}=${spec.secret ? '[removed]' : value} (${where})\n`).join('');
  });
  const secrets = Object.entries<FlagSpec>(FLAGS).flatMap(([name, { secret }]) =>
    secret ? (values.get(name) ?? []) : [],
  );
  return { text: lines.join(''), secrets };
}

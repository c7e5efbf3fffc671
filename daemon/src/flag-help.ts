/** What the flags are, for people: -help, and docs/flags.md. */
import { COMMAND_NAMES, COMMANDS, commandLine, commandSpec } from './command-table.ts';
import { describeParity, ENVIRONMENT_PARITY, FLAG_PARITY } from './flag-parity.ts';
import { FLAGS, type FlagName } from './flag-table.ts';
import { environmentName, type FlagTable } from './flags.ts';

export function helpText(): string {
  const lines = COMMAND_NAMES.map((name) => `${commandLine(name)} [OPTION]...`);
  const width = Math.max(...lines.map((line) => line.length)) + 2;
  const commands = COMMAND_NAMES.map((name, index) => lines[index]!.padEnd(width) + commandSpec(name).help);
  return [
    ...commands.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}`),
    '',
    'Every option may also come from the environment: -etcd-endpoints from FLANNELD_ETCD_ENDPOINTS.',
    '',
    ...flagLines(FLAGS),
    '',
    ...Object.entries(COMMANDS).flatMap(([name, { flags }]) =>
      Object.keys(flags).length === 0 ? [] : [`Options of flanneld ${name} only:`, '', ...flagLines(flags), ''],
    ),
  ].join('\n');
}

function flagLines(flags: FlagTable): string[] {
  return Object.entries(flags).map(([name, { fallback, help }]) => {
    return `  -${name}\n        ${help}${fallback === '' ? '' : ` (default ${fallback})`}`;
  });
}

/** docs/flags.md. */
export function flagsPage(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  return [
    '# Flags of flanneld',
    '',
    "The flags are flannel's, with its defaults, and some of our own. Each may be written with one dash or two, and as",
    '`-flag value` or `-flag=value`; a boolean flag needs no value. The environment counts where the command line says nothing.',
    '',
    '| flag | environment | default | meaning | beside flannel v0.28 |',
    '|---|---|---|---|---|',
    ...Object.entries(FLAGS).map(([name, { kind, fallback, help }]) => {
      const value = fallback === '' ? '' : `\`${fallback}\``;
      const often = kind === 'list' ? ' (may be repeated)' : '';
      return `| \`-${name}\`${often} | \`${environmentName(name)}\` | ${cell(value)} | ${cell(help)} | ${cell(describeParity(FLAG_PARITY[name as FlagName]))} |`;
    }),
    '',
    'Other variables of the environment that flannel reads:',
    '',
    '| environment | beside flannel v0.28 |',
    '|---|---|',
    ...Object.entries(ENVIRONMENT_PARITY).map(([name, parity]) => `| \`${name}\` | ${cell(describeParity(parity))} |`),
    '',
    '| command | what it does |',
    '|---|---|',
    ...COMMAND_NAMES.map((name) => `| \`${commandLine(name)}\` | ${cell(commandSpec(name).help)} |`),
    '',
    '| flag of a command | default | meaning |',
    '|---|---|---|',
    ...Object.entries(COMMANDS).flatMap(([command, { flags }]) =>
      Object.entries(flags as FlagTable).map(
        ([name, { fallback, help }]) => `| \`flanneld ${command} -${name}\` | \`${fallback}\` | ${cell(help)} |`,
      ),
    ),
    '',
  ].join('\n');
}

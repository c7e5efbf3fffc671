/** What the flags are, for people: -help, and docs/flags.md. */
import { describeParity, ENVIRONMENT_PARITY, FLAG_PARITY } from './flag-parity.ts';
import { FLAGS, type FlagName } from './flag-table.ts';
import { environmentName } from './flags.ts';

const COMMANDS = [
  ['', 'run the daemon'],
  ['release', 'give back the lease of this node, when it is taken out of service'],
  ['cleanup', 'remove the devices, routes, rules and files that flanneld made on this node'],
] as const;

export function helpText(): string {
  const commands = COMMANDS.map(
    ([command, what]) => `flanneld ${command === '' ? '' : `${command} `}[OPTION]...`.padEnd(32) + what,
  );
  const flags = Object.entries(FLAGS).map(([name, { fallback, help }]) => {
    return `  -${name}\n        ${help}${fallback === '' ? '' : ` (default ${fallback})`}`;
  });
  return [
    ...commands.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}`),
    '',
    'Every option may also come from the environment: -etcd-endpoints from FLANNELD_ETCD_ENDPOINTS.',
    '',
    ...flags,
    '',
  ].join('\n');
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
    ...COMMANDS.map(([command, what]) => `| \`${`flanneld ${command}`.trim()}\` | ${what} |`),
    '',
  ].join('\n');
}

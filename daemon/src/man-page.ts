/** flanneld(8) for man(1), from the tables of commands and flags. Pure. */
import { COMMAND_NAMES, COMMANDS, commandLine, commandSpec } from './command-table.ts';
import { FLAGS } from './flag-table.ts';
import { environmentName, type FlagSpec, type FlagTable } from './flags.ts';

export function manPage(version: string): string {
  return [
    `.TH FLANNELD 8 "" "flanneld ${roff(version)}" "System Administration"`,
    '.SH NAME',
    'flanneld \\- network for the pods of a cluster',
    '.SH SYNOPSIS',
    ...COMMAND_NAMES.flatMap((name, index) => [
      ...(index === 0 ? [] : ['.br']),
      `.B ${roff(commandLine(name))}`,
      '.RI [ OPTION ]...',
    ]),
    '.SH DESCRIPTION',
    'Leases a subnet for this node from etcd, and connects it with the subnets of the other nodes.',
    'Without a command it is the daemon.',
    '.SH COMMANDS',
    ...COMMAND_NAMES.flatMap((name) => [
      '.TP',
      `.B ${roff(commandLine(name))}`,
      roff(sentence(commandSpec(name).help)),
    ]),
    '.SH OPTIONS',
    'Each may be written with one dash or two, and as',
    '.RI \\-flag\\  value',
    'or',
    '.RI \\-flag= value .',
    'A boolean one needs no value.',
    ...flagParagraphs(FLAGS),
    ...Object.entries(COMMANDS).flatMap(([name, { flags }]) =>
      Object.keys(flags).length === 0 ? [] : [`.SS Of flanneld ${name} only`, ...flagParagraphs(flags)],
    ),
    '.SH ENVIRONMENT',
    'Every option of all commands may also come from the environment, which counts where the command line says nothing:',
    `.B ${roff(environmentName('etcd-endpoints'))}`,
    'for',
    '.BR \\-etcd\\-endpoints .',
    '.SH FILES',
    ...(['subnet-file', 'identity-file'] as const).flatMap((name) => [
      '.TP',
      `.I ${roff(FLAGS[name].fallback || '/var/lib/flannel/identity.json')}`,
      roff(sentence(FLAGS[name].help)),
    ]),
    '.SH EXIT STATUS',
    '0 done, 1 failed, 2 wrong usage.',
    '.B flanneld status',
    'has more, see there.',
    '',
  ].join('\n');
}

function flagParagraphs(flags: FlagTable): string[] {
  return Object.entries<FlagSpec>(flags).flatMap(([name, { kind, fallback, help }]) => {
    const value = kind === 'boolean' ? '' : ` \\fI${kind === 'integer' ? 'number' : 'value'}\\fR`;
    const often = kind === 'list' ? ' (may be repeated)' : '';
    const otherwise = fallback === '' ? '' : ` (default ${fallback})`;
    return ['.TP', `\\fB\\-${roff(name)}\\fR${value}`, roff(sentence(`${help}${often}${otherwise}`))];
  });
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** roff reads a dash as a hyphen, and a dot or a quote at the start of a line as a request. */
function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/, '\\&$&');
}

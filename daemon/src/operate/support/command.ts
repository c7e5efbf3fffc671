/** `flanneld support`: an archive of what says how this node is, without secrets, also when no flanneld runs. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { readJsonObject } from '@flannel-ts/flannel/go-json';
import { messageOf } from '../../errors.ts';
import { formatBytes } from '../../units.ts';
import { fileOf, findDaemons, type RunningDaemon } from '../daemons.ts';
import type { CommandResult } from '../result.ts';
import { readLog } from './log.ts';
import { removeSecrets } from './secrets.ts';
import { type Source, sourcesOf } from './sources.ts';
import { type TextFile, tarOf } from './tar.ts';

/** The flags of a command line, in words, and the secrets among their values. */
export interface FlagReport {
  readonly text: string;
  readonly secrets: readonly string[];
}

export interface SupportRequest {
  readonly subnetFile: string;
  /** Somebody chose it, so that no other is looked for. */
  readonly isChosen: boolean;
  readonly identityFile: string;
  /** Where to write; undefined: a name of its own in this directory. */
  readonly output: string | undefined;
  /** That has the log; undefined: to be found. */
  readonly logFile: string | undefined;
  /** Of this command. */
  readonly flags: FlagReport;
  readonly reportFlags: (argv: readonly string[], environment: Readonly<Record<string, string>>) => FlagReport;
}

export async function writeSupport(request: SupportRequest, now: Date): Promise<CommandResult> {
  const daemons = findDaemons();
  const subnetFile = daemons.length === 1 && !request.isChosen ? fileOf(daemons[0]!) : request.subnetFile;
  const reports = daemons.map((daemon) => ({ daemon, ...request.reportFlags(daemon.argv, daemon.environment) }));
  const secrets = [
    ...[request.flags, ...reports].flatMap((report) => report.secrets),
    ...keptSecrets(request.identityFile),
  ];
  const sources: Source[] = [
    { name: 'flags.txt', read: () => describeFlags(request.flags, reports) },
    ...sourcesOf(subnetFile),
    { name: 'log.txt', read: () => readLog(request.logFile, daemons, subnetFile) },
  ];
  const files: TextFile[] = [];
  for (const { name, read } of sources) {
    files.push({ name, text: removeSecrets(await attempt(read), secrets) });
  }
  const directory = `flanneld-support-${hostname().slice(0, 40)}-${now.toISOString().replace(/[-:]|\.\d+/g, '')}`;
  const file = request.output ?? path.resolve(`${directory}.tar.gz`);
  const archive = gzipSync(tarOf(directory, files, Math.floor(now.getTime() / 1000)));
  try {
    writeFileSync(file, archive, { mode: 0o600 });
  } catch (error) {
    return {
      exit: 1,
      output: '',
      sentence: `Cannot write the archive: ${messageOf(error)}; choose another place with -o`,
    };
  }
  const size = formatBytes(archive.length);
  return {
    exit: 0,
    output: `Wrote ${file} (${files.length} files, ${size}). It has addresses and rules of this node, and no secrets: look through it before you hand it on.\n`,
  };
}

async function attempt(read: Source['read']): Promise<string> {
  try {
    return await read();
  } catch (error) {
    return `Cannot be read: ${messageOf(error)}\n`;
  }
}

function describeFlags(own: FlagReport, daemons: readonly (FlagReport & { readonly daemon: RunningDaemon })[]): string {
  return [
    ...daemons.map(
      ({ daemon, text }) => `# flanneld, process ${daemon.pid}${daemon.isStopped ? ', stopped' : ''}\n${text}`,
    ),
    `# this command${daemons.length === 0 ? ', no flanneld runs here' : ''}\n${own.text}`,
  ].join('\n');
}

/** The file itself is not in the archive. */
function keptSecrets(identityFile: string): string[] {
  try {
    const { wireguardKey } = readJsonObject(readFileSync(identityFile, 'utf8')) ?? {};
    return typeof wireguardKey === 'string' ? [wireguardKey] : [];
  } catch {
    return []; // there is none
  }
}

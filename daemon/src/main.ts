/** flanneld's entry point: arguments, signals, exit codes (0 done, 1 failed, 2 wrong usage). */
import { hasCapability } from '@flannel-ts/linux/capabilities';
import { exitNow } from '@flannel-ts/linux/process';
import type { Logger } from 'pino';
import { COMMAND_FLAGS } from './command-table.ts';
import { completionFor } from './completion/shells.ts';
import { DaemonError, messageOf } from './errors.ts';
import { helpText } from './flag-help.ts';
import { reportFlags } from './flag-report.ts';
import { FLAGS } from './flag-table.ts';
import { runDaemon } from './flanneld.ts';
import { createLogger } from './log.ts';
import { manPage } from './man-page.ts';
import { cleanup } from './operate/cleanup.ts';
import { checkConfigFile } from './operate/config-command.ts';
import { installCni } from './operate/install-cni.ts';
import { release } from './operate/release.ts';
import type { CommandResult } from './operate/result.ts';
import { runStatus } from './operate/status-command.ts';
import { writeSupport } from './operate/support/command.ts';
import { type Options, type OptionsResult, parseOptions } from './options.ts';
import { EtcdSubnetManager } from './subnet/etcd/manager.ts';
import { stateFileOf } from './subnet/kept-state.ts';
import { KubeSubnetManager } from './subnet/kube/manager.ts';
import { machineIdentity } from './subnet/machine.ts';
import type { SubnetManager } from './subnet/manager.ts';
import { VERSION } from './version.ts';

/** Of output that is no terminal. */
const DEFAULT_WIDTH = 80;

/** A supervisor that sent SIGTERM may send SIGKILL soon; what has not ended by now is stuck. */
const STOP_LIMIT_MS = 800;

function main(): void {
  let parsed: OptionsResult;
  try {
    parsed = parseOptions(process.argv.slice(2), process.env);
  } catch (error) {
    process.stderr.write(`flanneld: ${messageOf(error)}\n`);
    process.exit(2);
  }
  const { options, warnings } = parsed;
  // On stderr, as flannel's.
  if (options.command === 'help') return void process.stderr.write(helpText());
  if (options.command === 'version') return void process.stderr.write(`${VERSION}\n`);
  if (options.command === 'completion') return void process.stdout.write(completionFor(options.operands[0]!));
  if (options.command === 'man') return void process.stdout.write(manPage(VERSION));

  const answer = answerOf(options);
  if (answer !== undefined) return void answer.then(show, fail);

  const log = createLogger(options.verbosity, process.stderr.isTTY === true);
  for (const warning of warnings) log.warn(warning);
  const stop = new AbortController();
  stopOnSignals(stop, log);
  dieOnBugs(log);
  run(options, log, stop).then(
    () => process.exit(0),
    (error: unknown) => {
      log.fatal(messageOf(error));
      leave(error instanceof DaemonError && error.code === 'USAGE' ? 2 : 1);
    },
  );
}

/** Of commands whose output is for people or scripts, and not a log; undefined for the others. */
function answerOf(options: Options): Promise<CommandResult> | undefined {
  const { command, operands, subnetFile, status } = options;
  const width = process.stdout.columns ?? DEFAULT_WIDTH;
  switch (command) {
    case 'status':
      return runStatus({ subnetFile, ...status, width }, new AbortController().signal);
    case 'config check':
      return Promise.resolve(checkConfigFile(operands[0]!, width));
    case 'install-cni':
      return Promise.resolve(installCni(operands[0]!, operands[1]!, options.cni));
    case 'support': {
      const request = { ...options, isChosen: status.isChosen, output: options.supportFile, reportFlags };
      const flags = reportFlags(process.argv.slice(2), process.env, { ...FLAGS, ...COMMAND_FLAGS });
      return writeSupport({ ...request, flags }, new Date());
    }
    case 'cleanup':
      return cleanup(
        { ...options, ...options.cleanup },
        createLogger(options.verbosity, process.stderr.isTTY === true),
      );
    default:
      return undefined;
  }
}

function show({ exit, output, sentence }: CommandResult): void {
  process.stdout.write(output);
  if (sentence !== undefined) process.stderr.write(`flanneld: ${sentence}\n`);
  process.exitCode = exit;
}

function fail(error: unknown): void {
  show({ exit: 1, output: '', sentence: messageOf(error) });
}

async function run(options: Options, log: Logger, stop: AbortController): Promise<void> {
  const manager = managerFor(options, log);
  try {
    if (options.command === 'release') return await release(options, manager, log, stop.signal);
    log.info({ version: VERSION, pid: process.pid }, 'Starting flanneld');
    // Said before etcd is waited for, which may take long.
    if (!hasCapability('CAP_NET_ADMIN')) {
      throw new DaemonError('KERNEL', 'flanneld may not configure the network: run it as root, or with CAP_NET_ADMIN');
    }
    const end = () => stop.abort(new Error('Another flanneld has taken over'));
    await runDaemon(options, manager, log, stop.signal, end);
    log.info('Stopped');
  } finally {
    manager.close();
  }
}

function managerFor({ subnetFile, kube, etcd, renewMarginMinutes }: Options, log: Logger): SubnetManager {
  const identity = machineIdentity();
  const keptState = { file: stateFileOf(subnetFile), ...(identity !== undefined && { identity }) };
  if (kube !== undefined) return new KubeSubnetManager(kube, log, { keptState });
  return new EtcdSubnetManager(etcd, log, { renewMarginSeconds: renewMarginMinutes * 60, keptState });
}

function stopOnSignals(stop: AbortController, log: Logger): void {
  const onSignal = (name: string): void => {
    log.info(`Got ${name}: stopping; the lease, the firewall rules and the subnet file stay`);
    stop.abort(new Error(`Stopped by ${name}`));
    setTimeout(() => {
      log.warn(`Not all parts ended within ${STOP_LIMIT_MS} ms: leaving them`);
      leave(0);
    }, STOP_LIMIT_MS).unref();
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
}

function dieOnBugs(log: Logger): void {
  const die = (error: unknown): void => {
    log.fatal({ stack: error instanceof Error ? error.stack : undefined }, `A bug: ${messageOf(error)}`);
    leave(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

/** Not process.exit(): that waits for threads, and one that is stuck in a system call never comes. */
function leave(code: number): never {
  return exitNow(code);
}

main();

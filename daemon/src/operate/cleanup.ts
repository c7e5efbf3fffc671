/**
 * `flanneld cleanup`: removes what flanneld, ours or real flannel, made on this node for the network that the subnet file names;
 * without the file for every network. Everything is found first and then removed, each by itself: one that resists keeps no other.
 */
import { existsSync, rmSync } from 'node:fs';
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { subnetsOf } from '@flannel-ts/flannel/lease';
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import { hasCapability } from '@flannel-ts/linux/capabilities';
import { type Netlink, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent } from '@flannel-ts/rtnetlink/link';
import type { Logger } from 'pino';
import { leftPrograms, removePrograms } from '../datapath/ebpf/left.ts';
import { removeEnded } from '../datapath/ebpf/pins.ts';
import { messageOf } from '../errors.ts';
import { findRules } from '../firewall/cleanup.ts';
import { describeRoute } from '../state/change.ts';
import { removeRoute } from '../state/kernel-routes.ts';
import { findAllDevices, findBridge, findLeftoverRoutes } from '../state/leftovers.ts';
import type { Owner } from '../state/owner.ts';
import { stateFileOf } from '../subnet/kept-state.ts';
import { addressFile } from '../underlay/remember.ts';
import { askDaemon } from './ask.ts';
import { isOwnConflist } from './conflist.ts';
import { fileOf, findDaemons } from './daemons.ts';
import { findReservations } from './endpoint/reserve.ts';
import { handOverSocketOf } from './hand-over/protocol.ts';
import type { CommandResult } from './result.ts';
import { socketOf } from './socket.ts';
import { readPreviousSubnets, requirePreviousNetworks } from './subnet-file.ts';

export interface CleanupChoice {
  /** Says what there is to remove, and removes nothing. */
  readonly dryRun: boolean;
  /** Also while a flanneld runs. */
  readonly force: boolean;
  /** What other nodes know this one by, too. */
  readonly identity: boolean;
  /** The bridge of pods, too. */
  readonly bridge: boolean;
}

export interface CleanupRequest extends CleanupChoice {
  readonly subnetFile: string;
  readonly identityFile: string;
  readonly hostLocalDir: string;
  readonly cniConfFile: string;
}

interface Removal {
  /** In words; several where they go together. */
  readonly what: readonly string[];
  readonly remove: () => unknown;
}

/** Left where it is, and the flag that removes it. */
interface Kept {
  readonly what: string;
  readonly flag: string;
}

interface Found {
  readonly removals: readonly Removal[];
  readonly kept?: readonly Kept[];
}

export async function cleanup(request: CleanupRequest, log: Logger): Promise<CommandResult> {
  const { subnetFile, dryRun, force } = request;
  let networks: Prefix[];
  try {
    networks = requirePreviousNetworks(subnetFile);
  } catch (error) {
    return failed(
      `Which network is meant cannot be read, and nothing was removed: ${messageOf(error)}; repair that file, or delete it to clean up after every network`,
    );
  }
  const running = dryRun || force ? undefined : await runningDaemon(subnetFile, networks.length > 0);
  if (running !== undefined) {
    return failed(`${running} runs and would make all of this again: stop it first, or say -force`);
  }
  if (!hasCapability('CAP_NET_ADMIN')) return failed('flanneld may not configure the network: run it as root');
  const nl = openNetlink();
  try {
    const { removals, kept, failures } = await findAll(
      request,
      networks.length > 0 ? { networks } : undefined,
      nl,
      log,
    );
    const removed: string[] = [];
    for (const { what, remove } of removals) {
      try {
        if (!dryRun) await remove();
        removed.push(...what);
      } catch (error) {
        failures.push(`${what.join(', ')}: ${messageOf(error)}`);
      }
    }
    const output = summary(dryRun, removed, kept);
    if (failures.length === 0) return { exit: 0, output };
    return { exit: 1, output, sentence: `Not all could be removed: ${failures.join('; ')}` };
  } finally {
    nl.close();
  }
}

function failed(sentence: string): CommandResult {
  return { exit: 1, output: '', sentence };
}

/** In words. Where nobody knows which network is meant, any flanneld of this host is in the way. */
async function runningDaemon(subnetFile: string, isKnown: boolean): Promise<string | undefined> {
  const daemons = findDaemons().filter((daemon) => !isKnown || fileOf(daemon) === subnetFile);
  if (daemons.length > 0) return `flanneld (${daemons.map(({ pid }) => `process ${pid}`).join(', ')})`;
  // In another PID namespace, as in a container.
  const { kind } = await askDaemon(socketOf(subnetFile), '/healthz', ANSWER_MS);
  return kind === 'answer' || kind === 'silent' ? `A flanneld that listens at ${socketOf(subnetFile)}` : undefined;
}

const ANSWER_MS = 1000;

async function findAll(
  request: CleanupRequest,
  owner: Owner | undefined,
  nl: Netlink,
  log: Logger,
): Promise<Required<Found> & { readonly failures: string[] }> {
  const places: Readonly<Record<string, () => Found | Promise<Found>>> = {
    routes: () => ({ removals: routes(request, owner, nl, log) }),
    programs: () => ({ removals: programs(owner, nl) }),
    devices: () => devices(request, owner, nl),
    'firewall rules': async () => ({ removals: await rules(owner) }),
    files: () => files(request),
  };
  const removals: Removal[] = [];
  const kept: Kept[] = [];
  const failures: string[] = [];
  for (const [name, find] of Object.entries(places)) {
    try {
      const found = await find();
      removals.push(...found.removals);
      kept.push(...(found.kept ?? []));
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
    }
  }
  return { removals, kept, failures };
}

/** Before the devices, with which some of them would go. */
function routes({ subnetFile }: CleanupRequest, owner: Owner | undefined, nl: Netlink, log: Logger): Removal[] {
  const ownSubnets = subnetsOf(readPreviousSubnets(subnetFile, log) ?? {});
  return findLeftoverRoutes(nl, owner, ownSubnets).map((route) => ({
    what: [`route ${describeRoute(route)}`],
    remove: () => removeRoute(nl, route),
  }));
}

/** Before the devices, by which they are known. */
function programs(owner: Owner | undefined, nl: Netlink): Removal[] {
  return leftPrograms(nl, owner?.networks).map((device) => ({
    what: [`programs of device ${device}`],
    remove: () => {
      removePrograms(nl, device);
      removeEnded();
    },
  }));
}

/** With their routes, neighbours and forwarding entries. */
function devices({ bridge }: CleanupRequest, owner: Owner | undefined, nl: Netlink): Found {
  const pods = findBridge(nl, owner, DEFAULT_BRIDGE);
  const wanted = [...findAllDevices(nl, owner), ...(bridge && pods !== undefined ? [pods] : [])];
  return {
    removals: wanted.map(({ name, index }) => ({
      what: [`device ${name}`],
      remove: () => ensureLinkAbsent(nl, index),
    })),
    kept: pods === undefined || bridge ? [] : [{ what: `the bridge of pods ${pods.name}`, flag: 'bridge' }],
  };
}

async function rules(owner: Owner | undefined): Promise<Removal[]> {
  const { names, remove } = await findRules(owner?.networks.map(formatPrefix));
  return names.length === 0 ? [] : [{ what: names, remove }];
}

function files({ subnetFile, identityFile, hostLocalDir, cniConfFile, identity }: CleanupRequest): Found {
  const kept = [addressFile(subnetFile), stateFileOf(subnetFile), socketOf(subnetFile), handOverSocketOf(subnetFile)];
  const conflist = isOwnConflist(cniConfFile, subnetFile) ? [cniConfFile] : [];
  const own = [subnetFile, ...kept, ...conflist];
  const wanted = [...findReservations(hostLocalDir), ...own, ...(identity ? [identityFile] : [])];
  return {
    removals: wanted
      .filter((file) => existsSync(file))
      .map((file) => ({ what: [`file ${file}`], remove: () => rmSync(file, { force: true }) })),
    kept:
      identity || !existsSync(identityFile)
        ? []
        : [{ what: `what other nodes know this one by, ${identityFile}`, flag: 'identity' }],
  };
}

function summary(dryRun: boolean, removed: readonly string[], kept: readonly Kept[]): string {
  return [
    ...(removed.length === 0 ? ['There is nothing to remove.'] : [dryRun ? 'Would remove:' : 'Removed:']),
    ...removed.map((line) => `  ${line}`),
    ...kept.map(({ what, flag }) => `${dryRun ? 'Would keep' : 'Kept'} ${what}: -${flag} removes it`),
    '',
  ].join('\n');
}

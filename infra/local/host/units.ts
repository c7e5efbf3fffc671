/** The services of a machine that has several: its files, its process 1, and its units, ready. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { netnsExists } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import type { BootFile } from '../../node/files.ts';
import type { BootLink, MachineUnit } from '../../node/machine-plan.ts';
import type { UnitDescriptor } from '../machine/descriptor.ts';
import { machineRoot, netnsPath } from '../names.ts';
import { readStatus, restartsSince, type Status } from '../supervisor/descriptor.ts';
import { cleanEnvironment } from './command.ts';
import { bootFileProblem, pruneEmpty, writeBootFiles, writeWhole } from './files.ts';
import { assertNotInterrupted } from './interrupt.ts';
import { endMachine, ensureMachineRuns, machineProcess, runInMachine, unitsDirectory } from './machine-process.ts';
import { ABSENT, handler } from './resource.ts';

export interface UnitsInputs {
  readonly stack: string;
  readonly machine: string;
  /** The id of what makes the machine: its units go with it. */
  readonly host: string;
  readonly files: readonly BootFile[];
  readonly links: readonly BootLink[];
  /** Files that hold keys. */
  readonly secretFiles: readonly BootFile[];
  readonly units: readonly MachineUnit[];
  /** Archives that containerd gets to know, if it is one of the units. */
  readonly images: readonly string[];
  /** Directories that hold what outlives a restart, and goes with the units. */
  readonly data: readonly string[];
  /** Nothing else is on the machine: its directory goes with the units. */
  readonly alone?: boolean;
}

const READY_MS = 120_000;
const IMPORT_MS = 300_000;
const POLL_MS = 50;
const LOG_LINES = 12;
const HOPELESS_RESTARTS = 6;

export const units = handler<UnitsInputs, object>({
  id: ({ host }) => `${host}/units`,
  identity: ['stack', 'machine', 'host'],
  async ensure(inputs) {
    writeBootFiles([...inputs.files, ...inputs.secretFiles]);
    writeLinks(inputs.links);
    const descriptors = inputs.units.map((unit) => describe(inputs, unit));
    const before = new Map(descriptors.map(({ name, statusFile }) => [name, readStatus(statusFile)]));
    writeDescriptors(inputs, descriptors);
    await ensureMachineRuns(inputs);
    for (const descriptor of inSequence(descriptors)) {
      await waitFor(inputs, descriptor, before.get(descriptor.name));
      if (descriptor.name === 'containerd') await importImages(inputs);
    }
    return {};
  },
  async observe(props) {
    if (!existsSync(machineRoot(props.stack, props.machine)) || !netnsExists(netnsPath(props.stack, props.machine)))
      return ABSENT;
    const drift = problemOf(props);
    return { present: true, ...(drift && { drift }) };
  },
  async remove(props) {
    await endMachine(props, 0); // nothing of it is needed any more
    const paths = [...props.files, ...props.links, ...props.secretFiles].map(({ path }) => path);
    for (const path of [...paths, ...props.data, unitsDirectory(props)]) rmSync(path, { recursive: true, force: true });
    if (!props.alone) return;
    const root = machineRoot(props.stack, props.machine);
    rmSync(root, { recursive: true, force: true });
    pruneEmpty(dirname(root));
  },
});

function describe(inputs: UnitsInputs, unit: MachineUnit): UnitDescriptor {
  const root = machineRoot(inputs.stack, inputs.machine);
  return {
    name: unit.name,
    command: unit.command,
    directory: root,
    environment: cleanEnvironment({ HOME: root }),
    environmentFiles: unit.environmentFiles,
    log: { path: unit.log, maxBytes: 10 * 1024 * 1024, keep: 3 },
    readyUrl: unit.readyUrl,
    statusFile: join(root, 'run', `${unit.name}.status.json`),
    configHash: hashOf(inputs, unit),
    stopMs: unit.stopSeconds * 1000,
    backoff: { firstMs: 500, maxMs: 10_000, resetMs: 60_000 },
    after: unit.after ?? [],
  };
}

/** Over the unit and the files it reads. Contents may be secret; their hash is not. */
function hashOf({ files, secretFiles }: UnitsInputs, unit: MachineUnit): string {
  const hash = createHash('sha256').update(JSON.stringify(unit));
  for (const { path, content } of [...files, ...secretFiles]) {
    if (unit.reads.includes(path)) hash.update(`\0${path}\0${content}`);
  }
  return hash.digest('hex');
}

function writeLinks(links: readonly BootLink[]): void {
  for (const { path, target } of links.filter((link) => !isAsWanted(link))) {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    symlinkSync(target, path);
  }
}

function isAsWanted({ path, target }: BootLink): boolean {
  try {
    return readlinkSync(path) === target;
  } catch {
    return false;
  }
}

function writeDescriptors(inputs: UnitsInputs, descriptors: readonly UnitDescriptor[]): void {
  const directory = unitsDirectory(inputs);
  mkdirSync(directory, { recursive: true });
  for (const unit of inputs.units) for (const path of unit.directories) mkdirSync(path, { recursive: true });
  const names = descriptors.map(({ name }) => `${name}.json`);
  for (const name of readdirSync(directory)) if (!names.includes(name)) rmSync(join(directory, name));
  for (const descriptor of descriptors) {
    writeWhole(join(directory, `${descriptor.name}.json`), `${JSON.stringify(descriptor, undefined, 2)}\n`, 0o644);
  }
}

/** Those that others come after are first. */
function inSequence(descriptors: readonly UnitDescriptor[]): UnitDescriptor[] {
  return [...descriptors].sort((a, b) => a.after.length - b.after.length);
}

async function waitFor(inputs: UnitsInputs, descriptor: UnitDescriptor, before: Status | undefined): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const status = readStatus(descriptor.statusFile);
    const current = status?.configHash === descriptor.configHash ? status : undefined;
    if (current?.ready) return;
    if (machineProcess(inputs) === undefined) throw notReady(inputs, descriptor, 'the machine has ended');
    const ends = current ? restartsSince(current, before) : 0;
    if (ends >= HOPELESS_RESTARTS) throw notReady(inputs, descriptor, `it ended ${ends} times`);
    assertNotInterrupted(`${descriptor.name} on ${inputs.machine}`);
    if (Date.now() > deadline) throw notReady(inputs, descriptor, `it is not ready after ${READY_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}

function notReady({ machine }: UnitsInputs, { name, log }: UnitDescriptor, why: string): InfraError {
  const lines = existsSync(log.path) ? readFileSync(log.path, 'utf8').trim().split('\n').slice(-LOG_LINES) : [];
  const text = lines.length === 0 ? 'Its log is empty' : `The last lines of ${log.path}:\n  ${lines.join('\n  ')}`;
  return new InfraError('NOT_READY', `${name} on ${machine} does not come up: ${why}. ${text}`);
}

/** Each archive once, by its path, which changes with its content. */
async function importImages(inputs: UnitsInputs): Promise<void> {
  const marks = join(machineRoot(inputs.stack, inputs.machine), 'var/lib/containerd/imported');
  mkdirSync(marks, { recursive: true });
  for (const archive of inputs.images) {
    const mark = join(marks, createHash('sha256').update(archive).digest('hex'));
    if (existsSync(mark)) continue;
    const { code, stdout, stderr } = await runInMachine(inputs, importCommand(archive), { timeoutMs: IMPORT_MS });
    if (code !== 0) {
      throw new InfraError('COMMAND_FAILED', `Cannot import ${archive} on ${inputs.machine}: ${stderr || stdout}`);
    }
    writeWhole(mark, `${archive}\n`, 0o644);
  }
}

/** kubelet looks for images in the namespace k8s.io. */
export function importCommand(archive: string): string[] {
  return ['ctr', '--namespace=k8s.io', 'images', 'import', archive];
}

function problemOf(props: UnitsInputs): string | undefined {
  for (const file of [...props.files, ...props.secretFiles]) {
    const problem = bootFileProblem(file);
    if (problem !== undefined) return problem;
  }
  const link = props.links.find((each) => !isAsWanted(each));
  if (link !== undefined) return `${link.path} does not lead to ${link.target}`;
  if (machineProcess(props) === undefined) return `${props.machine} does not run`;
  for (const unit of props.units) {
    const { statusFile, configHash, name } = describe(props, unit);
    const status = readStatus(statusFile);
    if (status?.configHash !== configHash) return `${name} on ${props.machine} runs with another configuration`;
    if (!status.ready) return `${name} on ${props.machine} is not ready`;
  }
  return undefined;
}

/** Finds and removes everything that bears a stack's name, whatever the state says: for after an interrupted command. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { netnsName, netnsPath, stackDirectory, VPC } from '../names.ts';
import { controlGroupsNamed, removeControlGroup } from './control-groups.ts';
import { pruneEmpty } from './files.ts';
import { listParts, removeNetns } from './namespaces.ts';
import { allProcesses, commandLine, endProcesses, type ProcessName, processesIn } from './processes.ts';

const GRACE_MS = 12_000;

/** One line per thing that is still there. */
export function listLeftovers(stack: string): string[] {
  const directory = stackDirectory(stack);
  return [
    ...processesOf(stack).map(({ pid }) => `process ${pid} (${commandLine(pid).join(' ')})`),
    ...listParts(stack).map((part) => `namespace ${netnsName(stack, part)}`),
    ...controlGroupsNamed(netnsName(stack, '')).map((group) => `control group ${group}`),
    ...mountsBelow(directory).map((path) => `mount ${path}`),
    ...(existsSync(directory) ? [`directory ${directory}`] : []),
  ];
}

/** Removes them and returns what there was. */
export async function sweep(stack: string): Promise<string[]> {
  const found = listLeftovers(stack);
  await halt(stack);
  rmSync(stackDirectory(stack), { recursive: true, force: true });
  pruneEmpty(stackDirectory(stack));
  return found;
}

/** Switches all machines off: what is on their disks stays, and all else is gone, as after a reboot of this machine. */
export async function halt(stack: string): Promise<void> {
  await endProcesses(supervisorsOf(stack), GRACE_MS); // first: they would start their services again
  await endProcesses(processesOf(stack), GRACE_MS);
  const parts = listParts(stack);
  for (const part of parts.filter((name) => name !== VPC)) await removeNetns(netnsPath(stack, part));
  if (parts.includes(VPC)) await removeNetns(netnsPath(stack, VPC));
  for (const group of controlGroupsNamed(netnsName(stack, ''))) await removeControlGroup(group);
}

function processesOf(stack: string): ProcessName[] {
  const inside = listParts(stack).flatMap((part) => processesIn(netnsPath(stack, part)));
  const known = new Set(inside.map(({ pid }) => pid));
  return [...inside, ...supervisorsOf(stack).filter(({ pid }) => !known.has(pid))];
}

/** Also those whose namespace has lost its name. */
function supervisorsOf(stack: string): ProcessName[] {
  const directory = `${stackDirectory(stack)}/`;
  return allProcesses((pid) => commandLine(pid).at(-1)?.startsWith(directory) === true);
}

function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((path) => path?.startsWith(`${directory}/`)) as string[];
}

/**
 * What Systems Manager runs on a node for the conformance tests: a pod made as a container runtime makes one, with the probe
 * in it. POSIX sh. The probe runs on the Bun inside flanneld, so a node needs nothing for it that it does not have. Pure.
 */
import type { CheckPlan } from './checks.ts';

const NAME = 'flannel-conformance';
const DIRECTORY = `/run/${NAME}`;
const NETNS = `/run/netns/${NAME}`;
const PROBE = `BUN_BE_BUN=1 "$flanneld" ${DIRECTORY}/probe.mjs`;
const CNI = '/etc/cni/net.d/10-flannel.conflist /opt/cni/bin';
/** The servers end by themselves when nobody is left to end them. */
const SERVER_SECONDS = 1800;

const PROLOGUE = ['set -eu', 'flanneld=/opt/flannel/current/flanneld'];

/** Prints the pod's address. What a run before has left is removed first. */
export function openScript(probe: string, port: number): string {
  const code = Buffer.from(probe).toString('base64');
  return lines([
    ...PROLOGUE,
    `if [ -e ${DIRECTORY} ]; then`,
    ...closing().map((line) => `  ${line}`),
    'fi',
    `mkdir -p ${DIRECTORY}`,
    `echo ${code} | base64 -d > ${DIRECTORY}/probe.mjs`,
    `ip netns add ${NAME}`,
    `address=$(${PROBE} attach ${NETNS} ${CNI})`,
    `systemd-run --quiet --unit=${NAME} --property=RuntimeMaxSec=${SERVER_SECONDS} --property=NetworkNamespacePath=${NETNS} \\`,
    `  --setenv=BUN_BE_BUN=1 "$flanneld" ${DIRECTORY}/probe.mjs serve ${port}`,
    'echo "$address"',
  ]);
}

/** Prints the probe's report, packed: Systems Manager keeps 24,000 characters of what a command says. */
export function checkScript(plan: CheckPlan): string {
  const packed = Buffer.from(JSON.stringify(plan)).toString('base64');
  return lines([
    ...PROLOGUE,
    `plan=$(echo ${packed} | base64 -d)`,
    `report=$(BUN_BE_BUN=1 nsenter --net=${NETNS} "$flanneld" ${DIRECTORY}/probe.mjs check "$plan")`,
    'echo "$report" | gzip | base64 -w 0',
  ]);
}

export function closeScript(): string {
  return lines([...PROLOGUE, ...closing()]);
}

function closing(): string[] {
  return [
    `systemctl stop ${NAME} 2> /dev/null || true`,
    `${PROBE} detach ${NETNS} ${CNI} || true`,
    `ip netns delete ${NAME} 2> /dev/null || true`,
    `rm -rf ${DIRECTORY}`,
  ];
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}

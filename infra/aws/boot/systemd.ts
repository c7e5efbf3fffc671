/** A Unit as systemd takes it, and how much of the machine a service may see. Pure. */
import type { Unit } from '../../node/files.ts';

/** Sections in order; a key may come more than once. */
export type UnitFile = Readonly<Record<string, readonly (readonly [key: string, value: string])[]>>;

export function renderUnit(file: UnitFile): string {
  const sections = Object.entries(file).map(([section, entries]) => {
    return `[${section}]\n${entries.map(([key, value]) => `${key}=${value}\n`).join('')}`;
  });
  return sections.join('\n');
}

type Entries = UnitFile[string];

/**
 * What a service of this project never needs. Left to each: capabilities, address families, devices, and
 * MemoryDenyWriteExecute, which forbids a JavaScript engine to compile.
 */
export const SANDBOX: Entries = [
  ['NoNewPrivileges', 'yes'],
  ['ProtectSystem', 'strict'],
  ['ProtectHome', 'yes'],
  ['PrivateTmp', 'yes'],
  ['ProtectProc', 'invisible'],
  ['ProtectClock', 'yes'],
  ['ProtectControlGroups', 'yes'],
  ['ProtectHostname', 'yes'],
  ['ProtectKernelLogs', 'yes'],
  ['ProtectKernelModules', 'yes'],
  ['LockPersonality', 'yes'],
  ['RestrictNamespaces', 'yes'],
  ['RestrictRealtime', 'yes'],
  ['RestrictSUIDSGID', 'yes'],
  ['RemoveIPC', 'yes'],
  ['KeyringMode', 'private'],
  ['SystemCallArchitectures', 'native'],
  ['SystemCallErrorNumber', 'EPERM'],
];

/** Of what needs a network and files, and nothing of the kernel: scripts with the AWS CLI. */
export const SCRIPT_SANDBOX: Entries = [
  ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
  ['PrivateDevices', 'yes'],
  ['ProtectKernelTunables', 'yes'],
  ['SystemCallFilter', '@system-service'],
  ...SANDBOX,
];

export interface Service {
  readonly user: string;
  /** Of [Unit]: order and conditions. */
  readonly unit: Entries;
  /** Of [Service]: what this one may do beyond SANDBOX, or may not. */
  readonly service: Entries;
}

/**
 * A daemon that tells when it is ready (sd_notify). To wait for etcd, however long, is no failure: so there is no limit to
 * a start, and none to the number of restarts.
 */
export function daemonUnit(unit: Unit, { user, unit: order, service }: Service): string {
  return renderUnit({
    Unit: [['Description', unit.description], ...order, ['StartLimitIntervalSec', '0']],
    Service: [
      ['Type', 'notify'],
      ['User', user],
      ...unit.environmentFiles.map((path) => ['EnvironmentFile', `-${path}`] as const),
      ['ExecStart', unit.command.join(' ')],
      ['Restart', 'always'],
      ['RestartSec', '2'],
      ['TimeoutStartSec', 'infinity'],
      ['TimeoutStopSec', String(unit.stopSeconds)],
      ...service,
      ...SANDBOX,
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

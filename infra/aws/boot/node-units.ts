/** The units of a node. Pure. */
import { dirname, relative } from 'node:path';
import { DEFAULT_IDENTITY_FILE } from '@flannel-ts/flannel/defaults';
import { podAllocations, type Unit } from '../../node/files.ts';
import { LIBRARY } from './scripts.ts';
import { daemonUnit, renderUnit, SCRIPT_SANDBOX } from './systemd.ts';

/** Fetches what flanneld runs with. No limit on attempts: a permission or a route may come minutes after the machine. */
export function nodeBootstrapService(): string {
  return renderUnit({
    Unit: [
      ['Description', "flannel's artifact and certificate"],
      ['Wants', 'network-online.target'],
      ['After', 'network-online.target'],
      ['Before', 'flanneld.service'],
      ['StartLimitIntervalSec', '0'],
    ],
    Service: [
      ['Type', 'oneshot'],
      // Installs a package of the distribution where it is missing, and so must not be shut in.
      ['ExecStartPre', `+${LIBRARY}/prepare`],
      ['ExecStart', `${LIBRARY}/bootstrap`],
      ['Restart', 'on-failure'],
      ['RestartSec', '30'],
      ['TimeoutStartSec', '900'],
      ['ReadWritePaths', '/opt /etc/flannel'],
      ['CapabilityBoundingSet', 'CAP_CHOWN CAP_DAC_OVERRIDE'],
      ...SCRIPT_SANDBOX,
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

/** Tells the group that the node is ready, and waits for the node's end. */
export function lifecycleService(): string {
  return renderUnit({
    Unit: [
      ['Description', "this node's part in the life of its group"],
      ['After', 'network-online.target'],
      ['StartLimitIntervalSec', '0'],
    ],
    Service: [
      ['ExecStart', `${LIBRARY}/lifecycle watch`],
      ['Restart', 'on-failure'],
      ['RestartSec', '5'],
      ['ReadWritePaths', '/etc/flannel'],
      ['CapabilityBoundingSet', ''],
      ...SCRIPT_SANDBOX,
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

/** When flanneld has ended, for whatever reason: a restart, a reboot, or the end of the machine, which gives its lease back. */
export const NODE_STOPPED = `-${LIBRARY}/lifecycle stopped`;

/** A renewed certificate reaches a node within a day, without anybody touching the node. */
export function bootstrapTimer(description: string): string {
  return renderUnit({
    Unit: [['Description', description]],
    Timer: [
      ['OnActiveSec', '1d'],
      ['OnUnitActiveSec', '1d'],
      ['RandomizedDelaySec', '1h'],
    ],
    Install: [['WantedBy', 'timers.target']],
  });
}

/** To configure the network, to ask the other nodes by ICMP whether they can be reached, and to load programs that move packets. */
const FLANNELD_CAPABILITIES = 'CAP_NET_ADMIN CAP_NET_RAW CAP_BPF';

/** Where the names of programs are, which outlive flanneld. Without it the engine in user space moves packets. */
const BPF_FOLDER = [
  'mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf',
  // systemd mounts it for root alone.
  'chmod o+x /sys/fs/bpf',
  'install -d -o flannel -m 700 /sys/fs/bpf/flannel',
].join('; ');

/** Below /var/lib, as systemd has it. */
const STATE_DIRECTORIES = [dirname(DEFAULT_IDENTITY_FILE), podAllocations('')]
  .map((path) => relative('/var/lib', path))
  .join(' ');

/**
 * flanneld as a user of its own that may administrate the network and nothing else. Not ProtectKernelTunables: forwarding
 * and the device's accept_local are sysctls, which belong to who has CAP_NET_ADMIN, while all others stay root's.
 */
export function flanneldService(unit: Unit, afterStop: readonly string[]): string {
  return daemonUnit(unit, {
    user: 'flannel',
    unit: [
      ['Wants', 'network-online.target'],
      // Not Requires or Wants: what was fetched before is good enough to run.
      ['After', 'network-online.target flannel-bootstrap.service'],
      ['ConditionPathExists', unit.command[0]!],
      ['ConditionPathExists', '/etc/flannel/tls/client.key'],
    ],
    service: [
      ...afterStop.map((command) => ['ExecStopPost', command] as const),
      // What other nodes know this one by, and where it reserves an address among those of the pods.
      ['StateDirectory', STATE_DIRECTORIES],
      ['RuntimeDirectory', 'flannel'],
      // While flanneld is away pods start with what it has written.
      ['RuntimeDirectoryPreserve', 'yes'],
      // The device and its socket, in which packets wait during a restart.
      ['FileDescriptorStoreMax', '8'],
      ['ExecStartPre', `-+/bin/sh -c '${BPF_FOLDER}'`],
      ['AmbientCapabilities', FLANNELD_CAPABILITIES],
      ['CapabilityBoundingSet', FLANNELD_CAPABILITIES],
      ['DevicePolicy', 'closed'],
      ['DeviceAllow', '/dev/net/tun rw'],
      ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_NETLINK'],
      ['SystemCallFilter', '@system-service'],
      ['SystemCallFilter', '~@privileged'],
      ['SystemCallFilter', 'bpf'],
      ['OOMScoreAdjust', '-900'],
      ['LimitNOFILE', '65536'],
    ],
  });
}

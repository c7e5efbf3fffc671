/** The units of an etcd member. Pure. */
import { etcdBoot, type Unit } from '../../node/files.ts';
import { LIBRARY } from './scripts.ts';
import { daemonUnit, renderUnit, SANDBOX, type UnitFile } from './systemd.ts';

/** Part of etcd's artifact, because it would not fit into user-data. */
const COMMAND = '/opt/etcd/current/flannel-etcd';
export const DATA_VOLUME = '/var/lib/etcd';
const BINARY = '/opt/etcd/current/etcd';
/** Written at every boot: how to start without data. */
const INITIAL = '/run/flannel/etcd-initial.env';

/** etcd as in every environment, with a data volume and separate authorities for peers and clients. */
export function cloudEtcdBoot(name: string, address: string): ReturnType<typeof etcdBoot> {
  const { files, unit } = etcdBoot({
    root: '',
    name,
    address,
    dataDirectory: `${DATA_VOLUME}/data`,
    peerCa: 'peer-ca.crt',
    architecture: undefined, // the machine says it
  });
  const [environment] = unit.environmentFiles;
  return { files, unit: { ...unit, command: [BINARY], environmentFiles: [environment!, INITIAL] } };
}

/** Drop-in for all units whose names begin with flannel-. */
export function sandboxDropIn(): string {
  return renderUnit({
    Service: [
      ['CapabilityBoundingSet', 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER'],
      ['PrivateDevices', 'yes'],
      ['ProtectKernelTunables', 'yes'],
      ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
      ['SystemCallFilter', '@system-service'],
      ['TimeoutStartSec', '900'],
      ...SANDBOX,
    ],
  });
}

/** Fetches, mounts, decides how to join, and starts etcd; retried until it succeeds. */
export function etcdBootstrapService(): string {
  return oneshot("etcd's volume, binaries and certificates", {
    Unit: [
      ['Wants', 'network-online.target'],
      ['After', 'network-online.target'],
      ['Before', 'etcd.service'],
    ],
    Service: [
      // Where this fails, what was there before goes on, and bootstrap fails in the end.
      ['ExecStartPre', `-${LIBRARY}/stage`],
      ['ExecStartPre', `-${LIBRARY}/activate`],
      // Mounts for the whole machine, and so must not be shut in: what has full privileges here ("+") has a mount namespace
      // and a list of devices all the same (systemd 252).
      ['ExecStartPre', `systemd-run --quiet --wait --collect ${COMMAND} volume`],
      ['ExecStart', `${COMMAND} bootstrap`],
      ['Restart', 'on-failure'],
      ['RestartSec', '15'],
      ['RuntimeDirectory', 'flannel'],
      ['RuntimeDirectoryPreserve', 'yes'],
      ['ReadWritePaths', `/opt /etc/flannel /etc/etcd -${DATA_VOLUME}`],
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

export function etcdSettleService(): string {
  return oneshot("etcd's users and flannel's network configuration", {
    Unit: [['After', 'etcd.service']],
    Service: [
      ['ExecStart', `${COMMAND} settle`],
      ['Restart', 'on-failure'],
      ['RestartSec', '15'],
    ],
    Install: [['WantedBy', 'multi-user.target']],
  });
}

export function snapshotService(): string {
  return oneshot('a snapshot of etcd to S3', {
    Unit: [['After', 'etcd.service']],
    Service: [['ExecStart', `${COMMAND} snapshot`]],
  });
}

export function snapshotTimer(): string {
  return renderUnit({
    Unit: [['Description', 'a snapshot of etcd to S3 every half an hour']],
    Timer: [
      ['OnCalendar', '*:00,30'],
      ['RandomizedDelaySec', '60'],
    ],
    Install: [['WantedBy', 'timers.target']],
  });
}

export function sweepService(): string {
  return oneshot('leases of machines that are gone', {
    Unit: [['After', 'etcd.service']],
    Service: [
      ['ExecStart', `${COMMAND} sweep`],
      ['ReadWritePaths', `-${DATA_VOLUME}`],
    ],
  });
}

export function sweepTimer(): string {
  return renderUnit({
    Unit: [['Description', 'leases of machines that are gone, looked for every ten minutes']],
    Timer: [
      ['OnActiveSec', '10min'],
      ['OnUnitActiveSec', '10min'],
      ['RandomizedDelaySec', '60'],
    ],
    Install: [['WantedBy', 'timers.target']],
  });
}

export function etcdService(unit: Unit): string {
  return daemonUnit(
    { ...unit, stopSeconds: 90 }, // with the snapshot
    {
      user: 'etcd',
      unit: [
        ['Wants', 'network-online.target'],
        ['After', 'network-online.target flannel-bootstrap.service'],
        // Never on the root disk, which goes with the instance.
        ['ConditionPathIsMountPoint', DATA_VOLUME],
        ['ConditionPathExists', INITIAL],
      ],
      service: [
        ['ExecStop', `-+timeout 60 ${COMMAND} snapshot any`],
        ['CapabilityBoundingSet', ''],
        ['ReadWritePaths', DATA_VOLUME],
        ['PrivateDevices', 'yes'],
        ['ProtectKernelTunables', 'yes'],
        ['MemoryDenyWriteExecute', 'yes'],
        ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
        ['SystemCallFilter', '@system-service'],
        ['SystemCallFilter', '~@privileged'],
        ['OOMScoreAdjust', '-900'],
        ['LimitNOFILE', '65536'],
      ],
    },
  );
}

function oneshot(description: string, { Unit = [], Service = [], ...rest }: UnitFile): string {
  return renderUnit({
    Unit: [['Description', description], ...Unit, ['StartLimitIntervalSec', '0']],
    Service: [['Type', 'oneshot'], ...Service],
    ...rest,
  });
}

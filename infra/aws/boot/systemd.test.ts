import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeBoot } from '../../node/files.ts';
import { cloudEtcdBoot, etcdService, sandboxDropIn } from './etcd-units.ts';
import { flanneldService, lifecycleService, NODE_STOPPED, nodeBootstrapService } from './node-units.ts';
import { daemonUnit, renderUnit } from './systemd.ts';

const flanneld = nodeBoot({ root: '', etcdEndpoints: ['https://10.64.27.10:2379'] }).unit;
const units = {
  flanneld: flanneldService(flanneld, [NODE_STOPPED]),
  etcd: etcdService(cloudEtcdBoot('etcd-0', '10.64.27.10').unit),
  'flannel-bootstrap': nodeBootstrapService(),
  'flannel-lifecycle': lifecycleService(),
};

/** All values of a key, in order. */
const valuesOf = (unit: string, key: string) =>
  unit
    .split('\n')
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));

describe('renderUnit()', () => {
  test('keeps sections and keys in order, and keys that come again', () => {
    const Unit = [
      ['After', 'a'],
      ['After', 'b'],
    ] as const;
    expect(renderUnit({ Unit, Install: [['WantedBy', 'c']] })).toBe(
      '[Unit]\nAfter=a\nAfter=b\n\n[Install]\nWantedBy=c\n',
    );
  });
});

describe('daemonUnit()', () => {
  test('runs what the Unit says, as another user, and bears missing environment files', () => {
    const text = daemonUnit(flanneld, { user: 'somebody', unit: [], service: [] });
    expect(valuesOf(text, 'ExecStart')).toEqual(flanneld.command);
    expect(valuesOf(text, 'EnvironmentFile')).toEqual(['-/etc/flannel/flanneld.env']);
    expect(valuesOf(text, 'User')).toEqual(['somebody']);
    expect(valuesOf(text, 'Type')).toEqual(['notify']);
  });
});

describe('the sandboxes', () => {
  test.each(Object.entries(units))('of %s leave the system read-only and give no new privileges', (_, text) => {
    expect(valuesOf(text, 'ProtectSystem')).toEqual(['strict']);
    expect(valuesOf(text, 'NoNewPrivileges')).toEqual(['yes']);
    expect(valuesOf(text, 'SystemCallFilter')).toContain('@system-service');
    expect(valuesOf(text, 'RestrictAddressFamilies').join()).not.toContain('AF_PACKET');
  });

  test('let flanneld administrate the network, and nothing else', () => {
    const text = units.flanneld;
    expect(valuesOf(text, 'User')).toEqual(['flannel']);
    expect(valuesOf(text, 'CapabilityBoundingSet')).toEqual(['CAP_NET_ADMIN CAP_NET_RAW CAP_BPF']);
    expect(valuesOf(text, 'AmbientCapabilities')).toEqual(['CAP_NET_ADMIN CAP_NET_RAW CAP_BPF']);
    expect(valuesOf(text, 'DeviceAllow')).toEqual(['/dev/net/tun rw']);
    expect(valuesOf(text, 'DevicePolicy')).toEqual(['closed']);
    expect(valuesOf(text, 'ReadWritePaths')).toEqual([]);
    expect(valuesOf(text, 'StateDirectory')).toEqual(['flannel cni/networks/flannel']);
  });

  test('leave etcd no capability, and of the disk its volume', () => {
    const text = units.etcd;
    expect(valuesOf(text, 'User')).toEqual(['etcd']);
    expect(valuesOf(text, 'CapabilityBoundingSet')).toEqual(['']);
    expect(valuesOf(text, 'MemoryDenyWriteExecute')).toEqual(['yes']);
    expect(valuesOf(text, 'ReadWritePaths')).toEqual(['/var/lib/etcd']);
  });

  test('start etcd only from its volume', () => {
    expect(valuesOf(units.etcd, 'ConditionPathIsMountPoint')).toEqual(['/var/lib/etcd']);
    expect(valuesOf(units.etcd, 'ExecStart')).toEqual(['/opt/etcd/current/etcd']);
  });

  const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;

  /** On systemd's scale from 0 to 10, "OK" ends at 4. */
  test.each(Object.entries({ ...units, shared: `${sandboxDropIn()}ExecStart=/bin/true\n` }))(
    'are tight, and good enough for systemd where there is one: %s',
    (name, text) => {
      expect(valuesOf(text, 'SystemCallArchitectures')).toEqual(['native']);
      if (!hasAnalyze) return;
      const directory = mkdtempSync(join(tmpdir(), 'flannel-units-'));
      try {
        const path = join(directory, `${name}.service`);
        writeFileSync(path, text);
        const flags = ['security', '--offline=true', '--no-pager', '--threshold=25', path];
        const { status, stderr } = spawnSync('systemd-analyze', flags, { encoding: 'utf8' });
        expect({ status, stderr }).toMatchObject({ status: 0 });
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );
});

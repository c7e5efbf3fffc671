/** The root file system that machines start from: Debian's own packages, with the cloud-init and the systemd of a cloud image. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../../../tools/setup/context.mjs';
import { withLock } from '../../../tools/setup/lock.mjs';

const SUITE = 'bookworm';

/** What Amazon Linux 2023 has from the start, and nftables, which a node installs there. */
const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'cloud-init',
  'locales', // cloud-init's step for them fails without
  'awscli',
  'ca-certificates',
  'curl',
  'e2fsprogs',
  'xfsprogs',
  'iproute2',
  'iputils-ping',
  'kmod',
  'nftables',
  'procps',
];

const UNUSED = [
  '/usr/share/man/*',
  '/usr/share/doc/*',
  '/usr/share/awscli/examples/*',
  // cloud-init asks for an address with it, for a minute; there is one already, and no DHCP server.
  '/sbin/dhclient',
];

const FILES: Readonly<Record<string, string>> = {
  '/etc/hostname': 'localhost\n',
  '/etc/hosts': '127.0.0.1 localhost\n',
  // Nobody answers here: no name server, and no mirror.
  '/etc/resolv.conf': '',
  '/etc/cloud/ds-identify.cfg': 'policy: enabled\n',
  '/etc/cloud/cloud.cfg.d/90-ec2.cfg': `datasource_list: [ Ec2 ]
datasource:
  Ec2:
    # The machine's vendor is asked of the firmware, and that is the host's.
    strict_id: false
    metadata_urls: [ 'http://169.254.169.254' ]
    max_wait: 10
network: { config: disabled }
locale: C.UTF-8
`,
};

/** Nobody sits at the console. */
const MASKED = ['console-getty.service'];

const run = promisify(execFile);

/** Path of the root file system, made when the cache does not have it. It is only read: a machine writes elsewhere. */
export async function rootFileSystem(): Promise<string> {
  const recipe = JSON.stringify({ SUITE, PACKAGES, UNUSED, FILES, MASKED, arch: process.arch });
  const name = createHash('sha256').update(recipe).digest('hex').slice(0, 16);
  const directory = join(cacheDirectory(process.env), 'boot', name);
  if (existsSync(directory)) return directory;
  await withLock(join(dirname(directory), 'lock'), 'the root file system', async () => {
    if (!existsSync(directory)) await build(directory);
  });
  return directory;
}

async function build(directory: string): Promise<void> {
  const unfinished = `${directory}.unfinished`; // ours: the lock is held
  rmSync(unfinished, { recursive: true, force: true });
  const excluded = UNUSED.map((path) => `--dpkgopt=path-exclude=${path}`);
  try {
    await run('mmdebstrap', ['--variant=minbase', `--include=${PACKAGES}`, ...excluded, SUITE, unfinished]);
  } catch (error) {
    const { code, stderr, message } = error as Error & { code?: unknown; stderr?: string };
    rmSync(unfinished, { recursive: true, force: true });
    throw new Error(
      code === 'ENOENT'
        ? 'mmdebstrap is not installed: run "npm run setup -- test"'
        : `mmdebstrap could not make a Debian ${SUITE}: ${stderr?.trim() || message}`,
    );
  }
  for (const [path, content] of Object.entries(FILES)) writeWithDirectory(join(unfinished, path), content);
  for (const unit of MASKED) symlinkSync('/dev/null', join(unfinished, 'etc/systemd/system', unit));
  renameSync(unfinished, directory);
}

function writeWithDirectory(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

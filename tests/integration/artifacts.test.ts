/** What `npm run build` makes, as a node gets it: without this checkout, and so without its node_modules. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdServer } from './support/etcd-server.ts';

jest.setTimeout(240_000);

const REPOSITORY = join(__dirname, '..', '..');
const DIST = join(REPOSITORY, 'dist');
const NETNS = `fltest-${process.pid}-artifacts`;
/** Runs what follows it with an empty directory in the place of the checkout. */
const WITHOUT_CHECKOUT = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none "$0" && exec "$@"', REPOSITORY];

interface Manifest {
  readonly version: string;
  readonly artifact?: { readonly file: string; readonly sha256: string };
  readonly files: readonly { readonly path: string; readonly sha256: string; readonly size: number }[];
}

let directory: string;
let manifest: Manifest;

beforeAll(() => {
  execFileSync('node', ['tools/run.mjs', 'build'], { cwd: REPOSITORY, stdio: 'pipe' });
  manifest = readManifest(DIST);
  directory = mkdtempSync(join(tmpdir(), 'fltest-artifacts-'));
  execFileSync('tar', ['-xzf', join(DIST, manifest.artifact!.file), '-C', directory]);
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function readManifest(place: string): Manifest {
  return JSON.parse(readFileSync(join(place, 'manifest.json'), 'utf8')) as Manifest;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Starts a program in an empty file system view of the checkout. */
function runAlone(command: readonly string[], input = '', env: NodeJS.ProcessEnv = {}) {
  const [program, ...args] = [...WITHOUT_CHECKOUT, ...command];
  return spawnSync(program!, args, { cwd: '/', input, encoding: 'utf8', env: { PATH: process.env.PATH, ...env } });
}

describe('the archive', () => {
  test('has the sha256 that the manifest says, and so has each file in it', () => {
    const { file, sha256: expected } = manifest.artifact!;
    expect(sha256(join(DIST, file))).toBe(expected);
    for (const { path, sha256: hash } of manifest.files)
      expect([path, sha256(join(directory, path))]).toEqual([path, hash]);
  });

  test('names its files and its version itself', () => {
    expect(readManifest(directory)).toEqual({ version: manifest.version, files: manifest.files });
    expect(manifest.files.map(({ path }) => path)).toEqual(['flanneld', 'cni/flannel']);
  });

  test('holds no path of the machine it was built on', () => {
    for (const { path } of manifest.files) expect(readFileSync(join(directory, path)).includes(REPOSITORY)).toBe(false);
  });

  test('is the same when it is packed by another user at another time', async () => {
    const { writeArchive } = await import('../../tools/build/archive.ts');
    const copy = join(directory, 'copy');
    execFileSync('install', [
      '-D',
      '-o',
      'nobody',
      '-m',
      '0700',
      join(directory, 'manifest.json'),
      join(copy, 'manifest.json'),
    ]);
    const packed: string[] = [];
    for (const [i, place] of [directory, copy].entries()) {
      const output = join(directory, `${i}.tar.gz`);
      const files = [{ directory: place, path: 'manifest.json' }];
      if (i === 1) execFileSync('chmod', ['0644', join(copy, 'manifest.json')]);
      await writeArchive(output, files);
      packed.push(sha256(output));
    }
    expect(packed[0]).toBe(packed[1]);
  });

  test('is the same program when it is compiled into another directory', async () => {
    const { compile, EXECUTABLES } = await import('../../tools/build/artifacts.ts');
    for (const [i, { path, sha256: expected }] of manifest.files.entries()) {
      const outfile = join(directory, 'again', path);
      await compile(REPOSITORY, process.env, manifest.version, EXECUTABLES[i]!, outfile);
      expect([path, sha256(outfile)]).toEqual([path, expected]);
    }
  });
});

describe('without node_modules', () => {
  test('the CNI plugin answers VERSION', () => {
    const { status, stdout } = runAlone([join(directory, 'cni/flannel')], '{"cniVersion":"1.0.0"}', {
      CNI_COMMAND: 'VERSION',
    });
    expect(status).toBe(0);
    expect(JSON.parse(stdout).supportedVersions).toContain('1.0.0');
  });

  test('flanneld says its version', () => {
    const { status, stdout, stderr } = runAlone([join(directory, 'flanneld'), '--version']);
    expect([status, (stdout + stderr).trim()]).toEqual([0, manifest.version]);
  });

  test('flanneld gets a lease from a real etcd and forwards', async () => {
    const inside = (...command: string[]) =>
      execFileSync('nsenter', [`--net=/run/netns/${NETNS}`, ...command], { stdio: 'pipe' });
    const subnetFile = join(directory, 'subnet.env');
    let etcd: EtcdServer | undefined;
    let flanneld: ChildProcess | undefined;
    execFileSync('ip', ['netns', 'add', NETNS]);
    try {
      inside('ip', 'link', 'set', 'lo', 'up');
      inside('ip', 'link', 'add', 'eth0', 'type', 'bridge');
      inside('ip', 'address', 'add', '10.99.0.2/24', 'dev', 'eth0');
      inside('ip', 'link', 'set', 'eth0', 'up');
      etcd = await EtcdServer.start({ netns: `/run/netns/${NETNS}` });
      etcd.put('/coreos.com/network/config', '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}');
      const flags = [`--etcd-endpoints=${etcd.endpoint}`, '--iface=eth0', `--subnet-file=${subnetFile}`];
      const [program, ...args] = [...WITHOUT_CHECKOUT, join(directory, 'flanneld'), ...flags];
      flanneld = spawn('nsenter', [`--net=/run/netns/${NETNS}`, program!, ...args], {
        cwd: '/',
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const ended = new Promise<number | null>((resolve) => flanneld!.once('close', resolve));
      let log = '';
      flanneld.stderr!.on('data', (chunk) => {
        log += chunk;
      });
      for (let i = 0; i < 300 && !existsSync(subnetFile) && flanneld.exitCode === null; i++) await sleep(100);
      expect([existsSync(subnetFile), log]).toEqual([true, log]);
      expect(inside('ip', '-o', 'link', 'show', 'flannel0').toString()).toContain('LOWER_UP');
      flanneld.kill('SIGTERM');
      expect([await ended, log]).toEqual([0, log]);
    } finally {
      flanneld?.kill('SIGKILL');
      await etcd?.destroy();
      execFileSync('ip', ['netns', 'delete', NETNS]);
    }
  });
});

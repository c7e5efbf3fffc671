import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArtifact } from '@flannel-ts/infra/node/artifact';
import { makeEtcdArtifact } from './etcd.ts';
import { sha256OfFile } from './inputs.mjs';

const ROOT = join(__dirname, '../..');
let directory: string;
let output: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flannel-etcd-artifact-'));
  output = join(directory, 'dist/etcd');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Programs as far as the tool can tell: an ELF header of an architecture, 62 amd64, 183 arm64. */
function programs(where: string, machine: number, names = ['etcd', 'etcdctl']): string {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  mkdirSync(where, { recursive: true });
  for (const name of names) {
    writeFileSync(join(where, name), Buffer.concat([header, Buffer.from(name)]));
    chmodSync(join(where, name), 0o755);
  }
  return where;
}

const make = (options: object, env: NodeJS.ProcessEnv = {}) => makeEtcdArtifact(ROOT, { output, ...options }, env);

describe('makeEtcdArtifact()', () => {
  test('packs the programs and the script for machines, and says so in a manifest that a stack can read', async () => {
    const from = programs(join(directory, 'bin'), 183, ['etcd', 'etcdctl', 'etcdutl']);
    const made = await make({ from, version: '3.6.1' });
    expect(made).toMatchObject({ version: '3.6.1', architecture: 'arm64' });
    expect(readArtifact(output)).toEqual({
      version: '3.6.1',
      file: 'etcd-3.6.1-linux-arm64.tar.gz',
      sha256: sha256OfFile(made.file),
      source: made.file,
    });
    const list = execFileSync('tar', ['--list', '--verbose', '--file', made.file], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(list.map((line) => [line.slice(0, 10), line.split(' ').at(-1)])).toEqual(
      ['etcd', 'etcdctl', 'etcdutl', 'flannel-etcd'].map((name) => ['-rwxr-xr-x', name]),
    );
  });

  test('gives the same bytes for the same programs', async () => {
    const options = { from: programs(join(directory, 'bin'), 62), version: '3.5.0' };
    const first = await make(options);
    const second = await make({ ...options, output: join(directory, 'other') });
    expect(second.sha256).toBe(first.sha256);
  });

  test('finds programs on PATH, and asks for what they do not say', async () => {
    const bin = join(directory, 'path');
    mkdirSync(bin);
    // A small program of this machine, which has a version, and not one of etcd.
    for (const name of ['etcd', 'etcdctl']) copyFileSync('/usr/bin/env', join(bin, name));
    await expect(make({}, { PATH: bin })).rejects.toThrow('etcd does not say its version here: give it with --version');
    await expect(make({ version: '1' }, { PATH: `/nowhere:${bin}` })).resolves.toMatchObject({ version: '1' });
  });

  test('accepts a tarball of a release whose sha256 is the given one', async () => {
    programs(join(directory, 'release/etcd-v3.5.0-linux-arm64'), 183);
    const tarball = join(directory, 'release.tar.gz');
    execFileSync('tar', [
      '--create',
      '--gzip',
      '--file',
      tarball,
      '-C',
      join(directory, 'release'),
      'etcd-v3.5.0-linux-arm64',
    ]);
    const sha256 = sha256OfFile(tarball);
    await expect(make({ from: tarball, version: '3.5.0', sha256 })).resolves.toMatchObject({ architecture: 'arm64' });
    await expect(make({ from: tarball, version: '3.5.0' })).rejects.toThrow(
      /give --sha256 with what the release's SHA256SUMS says/,
    );
    await expect(make({ from: tarball, version: '3.5.0', sha256: '0'.repeat(64) })).rejects.toThrow(
      `has the sha256 ${sha256}, not ${'0'.repeat(64)}: fetch it again`,
    );
  });

  test.each([
    ['nothing is there', () => ({ from: '/nowhere/etcd' }), /^\/nowhere\/etcd does not exist/],
    [
      'a program is missing',
      () => ({ from: programs(join(directory, 'b'), 62, ['etcd']) }),
      /^There is no etcdctl in .*: install/,
    ],
    [
      'it is of another machine',
      () => ({ from: programs(join(directory, 'b'), 8), version: '1' }),
      /is no program for amd64 or arm64/,
    ],
  ])('says what to do when %s, and leaves what there was', async (_, options, message) => {
    await make({ from: programs(join(directory, 'good'), 62), version: '3.5.0' });
    const before = readFileSync(join(output, 'manifest.json'), 'utf8');
    await expect(make(options())).rejects.toThrow(message);
    expect(readFileSync(join(output, 'manifest.json'), 'utf8')).toBe(before);
  });

  test('refuses programs of two architectures', async () => {
    const from = programs(join(directory, 'b'), 62);
    programs(from, 183, ['etcdctl']);
    await expect(make({ from, version: '1' })).rejects.toThrow('of different architectures, amd64 and arm64');
    expect(existsSync(output)).toBe(false);
  });
});

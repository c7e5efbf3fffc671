import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch } from '../testing/setup.ts';
import { type ImageFile, imageArchive, tarArchive } from './image-archive.ts';

afterEach(removeScratch);

const FILES: readonly ImageFile[] = [
  { path: 'bin/' },
  { path: 'bin/tool', content: Buffer.from('#!/bin/sh\n'.repeat(60)), mode: 0o755 },
  { path: 'bin/other', link: 'tool' },
  { path: 'tmp/', mode: 0o1777 },
  { path: 'empty' },
];

function unpacked(archive: Uint8Array): string {
  const directory = scratch();
  const file = join(directory, 'archive.tar');
  writeFileSync(file, archive);
  const { status, stderr } = spawnSync('tar', ['-xpf', file, '-C', directory], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return directory;
}

test('tarArchive() is what tar(1) unpacks: contents, modes, links, directories', () => {
  const directory = unpacked(tarArchive(FILES));
  expect(readFileSync(join(directory, 'bin/tool'), 'utf8')).toBe('#!/bin/sh\n'.repeat(60));
  expect(statSync(join(directory, 'bin/tool')).mode & 0o7777).toBe(0o755);
  expect(statSync(join(directory, 'tmp')).mode & 0o7777).toBe(0o1777);
  expect(readlinkSync(join(directory, 'bin/other'))).toBe('tool');
  expect(lstatSync(join(directory, 'empty')).size).toBe(0);
});

test('tarArchive() refuses a name that its header cannot hold', () => {
  expect(() => tarArchive([{ path: 'x'.repeat(101) }])).toThrow(RangeError);
});

test('imageArchive() names each image, and stores what they share once', () => {
  const shared = FILES;
  const images = [
    { names: ['localhost/a:1', 'localhost/a:2'], layers: [shared], config: { Entrypoint: ['/bin/tool'] } },
    { names: ['localhost/b:1'], layers: [shared, [{ path: 'b', content: Buffer.from('b') }]], config: {} },
  ];
  const archive = imageArchive(images, 'amd64');
  expect(Buffer.compare(archive, imageArchive(images, 'amd64'))).toBe(0);
  const directory = unpacked(archive);
  const blob = (digest: string) => join(directory, 'blobs', ...digest.split(':'));
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
  const { manifests } = read(join(directory, 'index.json'));
  const names = manifests.map((each: { annotations: object }) => Object.values(each.annotations)[0]);
  expect(names).toEqual(['localhost/a:1', 'localhost/a:2', 'localhost/b:1']);
  const [a, , b] = manifests.map(({ digest }: { digest: string }) => read(blob(digest)));
  expect(b.layers[0]).toEqual(a.layers[0]);
  const config = read(blob(a.config.digest));
  expect(config).toMatchObject({ os: 'linux', config: { Entrypoint: ['/bin/tool'] } });
  expect(config.rootfs.diff_ids).toEqual([a.layers[0].digest]);
  for (const { digest } of [...a.layers, ...b.layers]) expect(existsSync(blob(digest))).toBe(true);
});

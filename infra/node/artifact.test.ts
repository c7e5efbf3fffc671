import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { activateScript, parseManifest, quote, readArtifact, stageScript } from './artifact.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flannel artifact-')); // a blank, for paths must be quoted
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** An archive that holds `content` as flanneld. */
function archive(content: string): { url: string; sha256: string } {
  const source = join(directory, 'source');
  mkdirSync(join(source, 'cni'), { recursive: true });
  writeFileSync(join(source, 'flanneld'), content);
  writeFileSync(join(source, 'cni/flannel'), content);
  const file = join(directory, `${content}.tar.gz`);
  execFileSync('tar', ['--create', '--gzip', '--file', file, '--directory', source, '.']);
  return { url: `file://${encodeURI(file)}`, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
}

function run(script: string) {
  const { status, stderr } = spawnSync('sh', ['-s'], { input: script, encoding: 'utf8' });
  return { status, stderr };
}

function install(artifact: { url: string; sha256: string }) {
  const root = join(directory, 'root');
  const opt = join(root, 'opt/flannel');
  const staged = run(stageScript({ root, ...artifact }));
  return { ...(staged.status === 0 ? run(activateScript({ root, sha256: artifact.sha256 })) : staged), opt };
}

describe('stageScript() and activateScript()', () => {
  test('installs what the URL gives and makes it the current one', () => {
    const artifact = archive('one');
    const { status, opt } = install(artifact);
    expect(status).toBe(0);
    expect(readlinkSync(join(opt, 'current'))).toBe(artifact.sha256);
    expect(readFileSync(join(opt, 'current/flanneld'), 'utf8')).toBe('one');
    expect(readFileSync(join(opt, 'current/cni/flannel'), 'utf8')).toBe('one');
  });

  test('stageScript() alone changes nothing of what runs', () => {
    const { opt } = install(archive('one'));
    const two = archive('two');
    expect(run(stageScript({ root: join(directory, 'root'), ...two }))).toMatchObject({ status: 0 });
    expect(readFileSync(join(opt, 'current/flanneld'), 'utf8')).toBe('one');
    expect(readFileSync(join(opt, two.sha256, 'flanneld'), 'utf8')).toBe('two');
  });

  test('activateScript() refuses what was not staged', () => {
    const result = run(activateScript({ root: join(directory, 'root'), sha256: '2'.repeat(64) }));
    expect(result).toMatchObject({ status: 1, stderr: expect.stringContaining('there is no artifact 222') });
  });

  test('does nothing the second time, not even a download', () => {
    const artifact = archive('one');
    install(artifact);
    rmSync(join(directory, 'one.tar.gz'));
    expect(install(artifact)).toMatchObject({ status: 0 });
  });

  test('keeps the version before, and no older one', () => {
    const artifacts = ['one', 'two', 'three'].map(archive);
    const results = artifacts.map(install);
    expect(results.map(({ status }) => status)).toEqual([0, 0, 0]);
    const names = ['current', artifacts[1]!.sha256, artifacts[2]!.sha256];
    expect(readdirSync(results[2]!.opt).sort()).toEqual([...names].sort());
    expect(readFileSync(join(results[2]!.opt, 'current/flanneld'), 'utf8')).toBe('three');
  });

  test('refuses an archive with another sha256 and leaves the installed one alone', () => {
    const first = archive('one');
    const { opt } = install(first);
    const second = { ...archive('two'), sha256: '0'.repeat(64) };
    expect(install(second)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('does not have the sha256 000'),
    });
    expect(readlinkSync(join(opt, 'current'))).toBe(first.sha256);
    expect(readdirSync(opt).sort()).toEqual(['current', first.sha256].sort());
  });

  test('leaves nothing behind when there is no archive', () => {
    const { status, opt } = install({ url: `file://${encodeURI(directory)}/none.tar.gz`, sha256: '1'.repeat(64) });
    expect(status).not.toBe(0);
    expect(readdirSync(opt)).toEqual([]);
  });
});

describe('readArtifact()', () => {
  const manifest = { version: '0.1.0', artifact: { file: 'flannel.tar.gz', sha256: 'a'.repeat(64) } };

  test('reads the manifest of a build', () => {
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
    writeFileSync(join(directory, 'flannel.tar.gz'), '');
    expect(readArtifact(directory)).toEqual({
      version: '0.1.0',
      ...manifest.artifact,
      source: join(directory, 'flannel.tar.gz'),
    });
  });

  test('says what to do when nothing was built', () => {
    expect(existsSync(join(directory, 'manifest.json'))).toBe(false);
    expect(() => readArtifact(directory)).toThrow(/^Cannot read .*manifest\.json: run "npm run build"$/);
  });

  test('says what makes another kind of artifact', () => {
    expect(() => readArtifact(directory, 'npm run etcd-artifact')).toThrow(/: run "npm run etcd-artifact"$/);
  });

  test('says so when the archive is missing', () => {
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
    expect(() => readArtifact(directory)).toThrow('names flannel.tar.gz, which is not there: run "npm run build"');
  });

  test.each([{}, { version: '1' }, { ...manifest, artifact: { file: 'x', sha256: 'short' } }])(
    'refuses %j',
    (value) => {
      expect(() => parseManifest(JSON.stringify(value))).toThrow('does not describe an artifact');
    },
  );
});

describe('quote()', () => {
  test.each(['plain', "it's", 'a b', '$(reboot)', '`x`', '', 'a"b', 'a\nb'])('hands %j to sh unchanged', (word) => {
    expect(execFileSync('sh', ['-c', `printf %s ${quote(word)}`], { encoding: 'utf8' })).toBe(word);
  });
});

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { installCni } from './install-cni.ts';

let directory: string;
const at = (name: string) => path.join(directory, name);
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'install-'));
  writeFileSync(at('plugin'), 'new');
  chmodSync(at('plugin'), 0o755);
  writeFileSync(at('conf'), '{}');
});
afterEach(() => rmSync(directory, { recursive: true }));

test('installCni() replaces both files and leaves nothing else', () => {
  const directories = { binDir: at('bin'), confDir: at('net.d') };
  for (const content of ['old', 'new']) {
    writeFileSync(at('plugin'), content);
    expect(installCni(at('plugin'), at('conf'), directories).exit).toBe(0);
  }
  expect(readdirSync(at('bin'))).toEqual(['bandwidth', 'bridge', 'flannel', 'host-local', 'loopback', 'portmap']);
  expect(readFileSync(at('bin/bridge'), 'utf8')).toBe('new');
  expect(readdirSync(at('net.d'))).toEqual(['10-flannel.conflist']);
  expect(readFileSync(at('bin/flannel'), 'utf8')).toBe('new');
  expect(statSync(at('bin/flannel')).mode & 0o777).toBe(0o755);
});

test('installCni() leaves a plugin of another package that has one of the other names', () => {
  mkdirSync(at('bin'));
  writeFileSync(at('bin/bridge'), 'theirs');
  expect(installCni(at('plugin'), at('conf'), { binDir: at('bin'), confDir: at('net.d') }).exit).toBe(0);
  expect(readFileSync(at('bin/bridge'), 'utf8')).toBe('theirs');
  expect(readFileSync(at('bin/portmap'), 'utf8')).toBe('new');
});

test('installCni() says what is missing, and leaves no half', () => {
  const result = installCni(at('none'), at('conf'), { binDir: at('bin'), confDir: at('net.d') });
  expect(result).toMatchObject({ exit: 1, sentence: expect.stringContaining('none') });
  expect(readdirSync(at('bin'))).toEqual([]);
});

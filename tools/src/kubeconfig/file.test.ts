import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { changeKubeconfig, kubeconfigPaths, kubeconfigToAddTo } from './file.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fltest-kubeconfig-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (name: string) => join(directory, name);
const read = (name: string) => readFileSync(at(name), 'utf8');

test('kubeconfigPaths() are those of kubectl', () => {
  expect(kubeconfigPaths({ HOME: '/home/a' })).toEqual(['/home/a/.kube/config']);
  expect(kubeconfigPaths({ HOME: '/home/a', KUBECONFIG: ':/b::/c' })).toEqual(['/b', '/c']);
  writeFileSync(at('second'), '');
  const three = ['first', 'second', 'third'].map(at).join(':');
  expect(kubeconfigToAddTo({ KUBECONFIG: three })).toBe(at('second'));
  expect(kubeconfigToAddTo({ KUBECONFIG: `${at('x')}:${at('y')}` })).toBe(at('y'));
});

test('changeKubeconfig() makes the file and its directory, for its owner alone', async () => {
  expect(await changeKubeconfig(at('.kube/config'), (text) => `${text}new`)).toBe(true);
  expect(read('.kube/config')).toBe('new');
  expect(statSync(at('.kube/config')).mode & 0o777).toBe(0o600);
  expect(readdirSync(at('.kube'))).toEqual(['config']);
});

test('changeKubeconfig() keeps mode, owner and links', async () => {
  writeFileSync(at('real'), 'old', { mode: 0o640 });
  symlinkSync('real', at('config'));
  await changeKubeconfig(at('config'), () => 'new');
  expect(lstatSync(at('config')).isSymbolicLink()).toBe(true);
  expect(read('real')).toBe('new');
  expect(statSync(at('real')).mode & 0o777).toBe(0o640);
});

test('changeKubeconfig() leaves a file alone that it cannot change', async () => {
  writeFileSync(at('config'), 'old');
  const { ino } = statSync(at('config'));
  const fails = changeKubeconfig(at('config'), () => {
    throw new Error('is no kubeconfig');
  });
  await expect(fails).rejects.toThrow(`${at('config')} is no kubeconfig; it was left as it is`);
  expect(await changeKubeconfig(at('config'), () => undefined)).toBe(false);
  expect(await changeKubeconfig(at('config'), (text) => text)).toBe(false);
  expect(statSync(at('config')).ino).toBe(ino);
  expect(readdirSync(directory)).toEqual(['config']);
});

test('changes at the same time come one after the other', async () => {
  writeFileSync(at('config'), '');
  await Promise.all([...'abcdefgh'].map((letter) => changeKubeconfig(at('config'), (text) => text + letter)));
  expect([...read('config')].sort().join('')).toBe('abcdefgh');
});

test("changeKubeconfig() waits for kubectl's lock, and says what holds it up", async () => {
  writeFileSync(at('config'), 'old');
  writeFileSync(at('config.lock'), '');
  const waiting = changeKubeconfig(at('config'), () => 'new');
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(read('config')).toBe('old');
  rmSync(at('config.lock'));
  await waiting;
  expect(read('config')).toBe('new');
  writeFileSync(at('config.lock'), '');
  await expect(changeKubeconfig(at('config'), () => 'newer', 60)).rejects.toThrow('config.lock has been there');
  expect([read('config'), existsSync(at('config.lock'))]).toEqual(['new', true]);
});

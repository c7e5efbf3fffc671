import { readFileSync } from 'node:fs';
import path from 'node:path';

const DOCS = path.resolve(__dirname, '../../docs');
const text = readFileSync(path.join(DOCS, 'cni.md'), 'utf8');
const rows = [...text.matchAll(/^\| `([^`]+)` \|.*\| \[([^\]]+)\]\(([^)]+)\) \|$/gm)].map(([, key, test, file]) => ({
  key: key!,
  test: test!,
  file: file!,
}));

test.each(rows)('$key in docs/cni.md names a test that exists', ({ test: name, file }) => {
  expect(readFileSync(path.resolve(DOCS, file), 'utf8')).toContain(name);
});

test('docs/cni.md has each key that the built-in bridge takes, but for those refused', () => {
  const source = readFileSync(path.resolve(DOCS, '../cni/src/bridge-config.ts'), 'utf8');
  const taken = [...source.matchAll(/\bflag\('(\w+)'\)/g)].map(([, key]) => `delegate.${key}`);
  expect(taken.length).toBeGreaterThan(5);
  const documented = rows.map(({ key }) => key);
  const refused = ['delegate.disableContainerInterface'];
  expect([...new Set(taken)].filter((key) => !documented.includes(key) && !refused.includes(key))).toEqual([]);
});

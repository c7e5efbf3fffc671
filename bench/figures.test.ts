import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCosts, formatFigures, insertFigures } from './figures.ts';
import type { Report } from './result.ts';

const ROOT = join(__dirname, '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

test('the README has the figures of docs/performance.json', () => {
  const figures = formatFigures(JSON.parse(read('docs/performance.json')) as Report)!;
  const readme = read('README.md');
  // Otherwise: npm run bench -- --from docs/performance.json --markdown docs/performance.md --readme README.md
  expect(insertFigures(readme, figures)).toBe(readme);
});

test('docs/backends.md has the costs of docs/performance.json: write them again with UPDATE_DOCS=1 and this test', () => {
  const costs = formatCosts(JSON.parse(read('docs/performance.json')) as Report)!;
  const page = insertFigures(read('docs/backends.md'), costs);
  if (process.env.UPDATE_DOCS) writeFileSync(join(ROOT, 'docs/backends.md'), page);
  expect(page).toBe(read('docs/backends.md'));
});

test('formatFigures() gives nothing where a report has none of them', () => {
  expect(formatFigures({ machine: '', kernel: '', date: '', results: [] })).toBeUndefined();
});

test('insertFigures() replaces what is between the marks', () => {
  const text = 'a\n<!-- generated: figures -->\nold\n<!-- end of figures -->\nb\n';
  expect(insertFigures(text, 'new')).toBe('a\n<!-- generated: figures -->\nnew\n<!-- end of figures -->\nb\n');
  expect(() => insertFigures('a', 'new')).toThrow('There are no lines');
});

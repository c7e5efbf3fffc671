/**
 * docs/compared-to-flannel.md is what the table says; it is written anew by
 * `UPDATE_DOCS=1 npx jest tools/docs --selectProjects=unit`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SECTIONS } from './compared-to-flannel.ts';
import { renderPage } from './comparison.ts';
import { testTitles } from './test-titles.ts';

const ROOT = join(__dirname, '../..');
const PAGE = join(ROOT, 'docs/compared-to-flannel.md');

test('every row names tests that exist and run', () => {
  const titles = new Map<string, readonly string[]>();
  const titlesOf = (file: string) => {
    const path = join(ROOT, file);
    if (!titles.has(file)) titles.set(file, existsSync(path) ? testTitles(readFileSync(path, 'utf8')) : []);
    return titles.get(file)!;
  };
  const tests = SECTIONS.flatMap(({ rows }) => rows).flatMap((row) => row.tests);
  expect(tests.filter(({ file, title }) => !titlesOf(file).includes(title))).toEqual([]);
});

test('no situation stands twice', () => {
  const situations = SECTIONS.flatMap(({ rows }) => rows).map(({ situation }) => situation);
  expect(new Set(situations).size).toBe(situations.length);
});

test('docs/compared-to-flannel.md is what the table says', () => {
  const page = renderPage(SECTIONS);
  if (process.env.UPDATE_DOCS) writeFileSync(PAGE, page);
  else expect(readFileSync(PAGE, 'utf8')).toBe(page);
});

test('testTitles() finds tests in every form, and none that is skipped', () => {
  const source = `
    test('plain', () => {});
    it("double", async () => {});
    describe('group', () => { test.each([1, 2])('each %d', (n) => {}); });
    test.each\`a\`('table $a', () => {});
    test(\`with \${value}\`, () => {});
    test.skip('skipped', () => {});
    test.todo('to be written');
    describe.skip('old', () => { test('inside of skipped', () => {}); });
    // test('in a comment', () => {});
    const text = "test('in a string', () => {})";
  `;
  expect(testTitles(source)).toEqual(['plain', 'double', 'each %d', 'table $a', `with \${value}`]);
});

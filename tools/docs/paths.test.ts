/** Files that documentation names or links to, in the README, in docs/ and beside the sources, exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const ROOT = join(__dirname, '../..');
/** Not of this repository: made by a build, or nobody's. */
const NO_SOURCES = new Set(['node_modules', 'dist']);

function pagesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || NO_SOURCES.has(entry.name)) return [];
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return pagesBelow(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/** Paths in code marks that begin with a folder of the root and end with a file: `infra/config.ts`, also with a `*` in its name. */
function namedFiles(text: string, folders: readonly string[]): string[] {
  return [...text.matchAll(/`(?:node )?((?:[\w.@-]+\/)+[\w.@*-]+\.(?:m?[jt]s|json|md|sh|yaml|yml))`/g)]
    .map(([, path]) => path!)
    .filter((path) => folders.includes(path.split('/')[0]!));
}

function linkedFiles(text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

function exists(path: string): boolean {
  if (!path.includes('*')) return existsSync(path);
  const [before = '', after = ''] = path.slice(dirname(path).length + 1).split('*');
  return readdirSync(dirname(path)).some((name) => name.startsWith(before) && name.endsWith(after));
}

const FOLDERS = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !NO_SOURCES.has(entry.name) && entry.name !== 'stacks')
  .map(({ name }) => name);

test.each(pagesBelow(ROOT).map((page) => relative(ROOT, page)))('%s names files that exist', (page) => {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const linked = linkedFiles(text).map((target) => join(dirname(page), target));
  expect([...namedFiles(text, FOLDERS), ...linked].filter((path) => !exists(join(ROOT, path)))).toEqual([]);
});

test('namedFiles() and linkedFiles() find what a page names', () => {
  const text =
    'see `docs/gone.md`, `node tools/x.mjs`, `10.64.0.0/19`, `a/b.ts` and [it](../up.md#part), [web](https://a.b/c)';
  expect(namedFiles(text, ['docs', 'tools'])).toEqual(['docs/gone.md', 'tools/x.mjs']);
  expect(linkedFiles(text)).toEqual(['../up.md']);
});

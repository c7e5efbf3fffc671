import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../testing/setup.ts';
import { bundle } from './bundle.mjs';

afterEach(removeScratch);

test('bundle() bundles what is relative, and again only when a source has changed', async () => {
  const root = scratch();
  write(join(root, 'tools/build/bundle.mjs'), '');
  write(join(root, 'main.ts'), "import { x } from './x.ts';\nconsole.log(x);\n");
  write(join(root, 'x.ts'), "export const x: string = 'one';\n");
  const make = () => bundle(root, 'main.ts', 'dist/main.cjs');
  const file = await make();
  const { mtimeMs } = statSync(file);
  expect(execFileSync('node', [file], { encoding: 'utf8' })).toBe('one\n');
  await make();
  expect(statSync(file).mtimeMs).toBe(mtimeMs);
  write(join(root, 'x.ts'), "export const x: string = 'two';\n");
  await make();
  expect(execFileSync('node', [file], { encoding: 'utf8' })).toBe('two\n');
});

test('bundle() leaves packages of npm where they are', async () => {
  const root = scratch();
  write(join(root, 'tools/build/bundle.mjs'), '');
  write(join(root, 'main.ts'), "import koffi from 'koffi';\nconsole.log(koffi);\n");
  expect(readFileSync(await bundle(root, 'main.ts', 'dist/main.cjs'), 'utf8')).toContain('require("koffi")');
});

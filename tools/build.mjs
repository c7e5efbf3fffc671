#!/usr/bin/env node
// `npm run build`: everything that nodes run, into dist/. What is up to date is left as it is.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeContext } from './setup/context.mjs';
import { setUp } from './setup/setup.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
try {
  await setUp(makeContext(root, process.env), {});
  const { build } = await import('./build/build.mjs');
  await build(root, process.env);
} catch (error) {
  const { message, stack, code } = /** @type {NodeJS.ErrnoException} */ (error);
  process.stderr.write(`${code === undefined ? stack : message}\n`);
  process.exitCode = 1;
}

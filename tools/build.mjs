#!/usr/bin/env node
// `npm run build`: everything that nodes run, into dist/. What is up to date is left as it is.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeContext } from './setup/context.mjs';
import { ToolError } from './setup/errors.mjs';
import { setUp } from './setup/setup.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
try {
  const [argument] = process.argv.slice(2);
  if (argument !== undefined) throw new ToolError('USAGE', `"build" cannot use "${argument}"`, { exitCode: 2 });
  await setUp(makeContext(root, process.env), {});
  const { build } = await import('./build/build.mjs');
  await build(root, process.env);
} catch (error) {
  const { message, stack, code, exitCode = 1 } = /** @type {Partial<ToolError>} */ (error);
  process.stderr.write(`${code === undefined ? stack : message}\n`);
  process.exitCode = exitCode;
}

// @ts-nocheck: CommonJS, where this project has only ES modules
/**
 * What Pulumi starts: the program of index.ts as a bundle, which loads faster than ts-node compiles it
 * (docs/decisions/pulumi-program.md). Built first if its sources have changed, so that a plain `pulumi up` runs no stale one.
 */
const { join } = require('node:path');

module.exports = async () => {
  const { ensureBuilt } = await import('./build.mjs');
  await ensureBuilt();
  return require(join(__dirname, 'dist', 'program.cjs'))();
};

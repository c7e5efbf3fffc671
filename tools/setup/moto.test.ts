import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { program, removeScratch, scratch } from '../testing/setup.ts';
import { findMoto, MOTO_VERSION, planMoto } from './moto.mjs';

afterEach(removeScratch);
beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true); // progress
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** A PATH with a Python that makes environments whose own Python does as `inner` says. */
function machine(inner: string) {
  const [cache, bin] = [scratch(), scratch()];
  const script = `[ "$2" = venv ] && mkdir -p "$3/bin" && printf '#!/bin/sh\\n${inner}\\n' > "$3/bin/python" && chmod 755 "$3/bin/python"; exit 0`;
  program(join(bin, 'python3'), script);
  return { root: '', cache, env: { PATH: `${bin}:/usr/bin:/bin` } };
}

test('planMoto() installs moto once, below the cache', async () => {
  const context = machine('exit 0');
  expect(findMoto(context)).toBeUndefined();
  await planMoto(context)?.apply();
  expect(findMoto(context)?.[0]).toBe(join(context.cache, 'tools', `moto-${MOTO_VERSION}`, 'bin', 'python'));
  expect(planMoto(context)).toBeUndefined();
});

test('planMoto() says in one sentence that the package index cannot be reached, and leaves nothing half made', async () => {
  const context = machine('echo no route to the index >&2; exit 1');
  await expect(planMoto(context)?.apply()).rejects.toThrow(/^Cannot install moto, .*no route to the index/s);
  expect(readdirSync(join(context.cache, 'tools'))).toEqual([]);
});

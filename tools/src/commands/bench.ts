import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import type { Benchmark } from '../../../bench/result.ts';
import { formatMarkdown, runBenchmarks } from '../../../bench/run.ts';
import { build } from '../../build/build.mjs';
import { bundle } from '../../build/bundle.mjs';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';

export async function bench(context: Context, { jsonFile, markdownFile, only, quick }: Options): Promise<number> {
  const { root, env } = context;
  if (quick) process.env.BENCH_QUICK = '1';
  else await build(root, env);
  const all = await Promise.all(listBenchmarks(root).map((directory) => load(root, directory)));
  const chosen = all.filter(({ name }) => only === undefined || only.split(',').includes(name));
  if (chosen.length === 0) {
    throw new UsageError(`--only "${only}" is no benchmark: use one of ${all.map(({ name }) => name).join(', ')}`);
  }
  // npm runs this at the root of the checkout; a path is meant from where the user is.
  const write = (file: string | undefined, text: string): void => {
    if (file === undefined) return;
    const path = resolve(env.INIT_CWD ?? process.cwd(), file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  };
  const report = await runBenchmarks(chosen, say);
  write(jsonFile, `${JSON.stringify(report, undefined, 2)}\n`);
  write(markdownFile, formatMarkdown(report));
  return 0;
}

function listBenchmarks(root: string): string[] {
  const directory = join(root, 'bench');
  return readdirSync(directory)
    .filter((entry) => existsSync(join(directory, entry, 'index.ts')))
    .sort();
}

async function load(root: string, directory: string): Promise<Benchmark> {
  const file = await bundle(root, join('bench', directory, 'index.ts'), join('dist', 'bench', `${directory}.cjs`));
  return createRequire(file)(file) as Benchmark;
}

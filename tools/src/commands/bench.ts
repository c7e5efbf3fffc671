import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { formatFigures, insertFigures } from '../../../bench/figures.ts';
import { formatMarkdown } from '../../../bench/page.ts';
import type { Benchmark, Report } from '../../../bench/result.ts';
import { mergeReports, runBenchmarks } from '../../../bench/run.ts';
import { build } from '../../build/build.ts';
import { bundle } from '../../build/bundle.mjs';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';

export async function bench(context: Context, options: Options): Promise<number> {
  const { root, env } = context;
  const { jsonFile, markdownFile, readmeFile, from } = options;
  // npm runs this at the root of the checkout; a path is meant from where the user is.
  const locate = (file: string): string => resolve(env.INIT_CWD ?? process.cwd(), file);
  const report =
    from === undefined
      ? await measure(root, env, options)
      : mergeReports(from.split(',').map((file) => read(locate(file))));
  write(jsonFile && locate(jsonFile), `${JSON.stringify(report, undefined, 2)}\n`);
  write(markdownFile && locate(markdownFile), formatMarkdown(report));
  const figures = formatFigures(report);
  if (readmeFile !== undefined && figures !== undefined) {
    const file = locate(readmeFile);
    write(file, insertFigures(readFileSync(file, 'utf8'), figures));
  }
  return 0;
}

async function measure(root: string, env: NodeJS.ProcessEnv, { only, quick }: Options): Promise<Report> {
  if (quick) process.env.BENCH_QUICK = '1';
  else await build(root, env);
  const all = await Promise.all(listBenchmarks(root).map((directory) => load(root, directory)));
  const chosen = all.filter(({ name }) => only === undefined || only.split(',').includes(name));
  if (chosen.length === 0) {
    throw new UsageError(`--only "${only}" is no benchmark: use one of ${all.map(({ name }) => name).join(', ')}`);
  }
  return runBenchmarks(chosen, say);
}

function read(path: string): Report {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report;
  } catch (error) {
    throw new UsageError(`--from "${path}" is no report: ${(error as Error).message}`);
  }
}

function write(path: string | undefined, text: string): void {
  if (path === undefined) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
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

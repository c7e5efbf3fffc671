/** Kubernetes' own tests of networks, against the cluster of a stack or any other. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { machineRoot, netnsPath } from '@flannel-ts/infra/local/names';
import { kubeconfigFile } from '@flannel-ts/infra/node/kubernetes/settings';
import { conformanceImages } from '../../build/conformance-images.ts';
import { ToolError } from '../../setup/errors.mjs';
import { run } from '../../setup/exec.mjs';
import { kubernetesDirectory } from '../../setup/kubernetes.mjs';
import { say, step } from '../../setup/progress.mjs';
import { setUp } from '../../setup/setup.mjs';
import { CONTROL, loadImages } from '../../src/commands/cluster.ts';
import type { Context, Options } from '../../src/context.ts';

export const DEFAULT_FOCUS = '\\[sig-network\\].*\\[Conformance\\]';
/** So many tests at a time take about two minutes on two processors. */
const PROCESSES = 4;

export interface KubernetesResults {
  readonly passed: number;
  readonly failed: readonly string[];
}

/** Ends with 1 if a test fails, or there is none. */
export async function kubernetesConformance(context: Context, options: Options): Promise<number> {
  const { stack, ci } = options;
  const { kubeconfig, focus = DEFAULT_FOCUS, reportFile } = ci ?? {};
  await setUp(context, { packages: kubeconfig ? [] : ['kubernetes'], kubernetes: ['cluster', 'conformance'] });
  if (kubeconfig === undefined) await loadImages(stack, [await conformanceImages(context)]);
  const directory = mkdtempSync(join(tmpdir(), 'flannel-ts-conformance-'));
  try {
    const place = kubeconfig === undefined ? placeOf(stack) : { prefix: [], kubeconfig: resolve(kubeconfig) };
    const log = await runTests(context, place, focus, directory);
    const results = parseJunit(readFileSync(join(directory, 'junit_01.xml'), 'utf8'));
    keep(context, stack, directory, log);
    process.stdout.write(`${formatResults(results)}\n`);
    if (reportFile !== undefined) writeFileSync(reportFile, `${JSON.stringify(results, undefined, 2)}\n`);
    return results.passed > 0 && results.failed.length === 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Place {
  /** Of the command. */
  readonly prefix: readonly string[];
  readonly kubeconfig: string;
}

function placeOf(stack: string): Place {
  return {
    prefix: ['nsenter', `--net=${netnsPath(stack, CONTROL)}`, '--'],
    kubeconfig: kubeconfigFile(machineRoot(stack, CONTROL), 'admin'),
  };
}

/** Gives all that was said. A test that fails is no error here. */
async function runTests(
  context: Context,
  { prefix, kubeconfig }: Place,
  focus: string,
  directory: string,
): Promise<string> {
  const bin = kubernetesDirectory(context);
  const env = { ...context.env, HOME: directory, TMPDIR: directory }; // both are left behind
  const kubectl = [...prefix, join(bin, 'kubectl'), `--kubeconfig=${kubeconfig}`, 'get', 'nodes', '--output=name'];
  const nodes = (await run(kubectl[0]!, kubectl.slice(1), { env })).trim().split('\n').length;
  const command = [
    ...[...prefix, join(bin, 'ginkgo'), `--procs=${PROCESSES}`, '--no-color', '--timeout=2h', `--focus=${focus}`],
    ...[join(bin, 'e2e.test'), '--', '--provider=skeleton', `--kubeconfig=${kubeconfig}`, '--disable-log-dump'],
    // Without the number, tests that need two nodes are left out in silence.
    ...[`--kubectl-path=${join(bin, 'kubectl')}`, `--num-nodes=${nodes}`, `--report-dir=${directory}`],
  ];
  let log = '';
  const onLine = (detail: (text: string) => void) => (line: string) => {
    log += `${line}\n`;
    if (/^[•S]|\[It\]/.test(line)) detail(line.slice(0, 100));
  };
  await step(`Kubernetes' tests on ${nodes} nodes`, async (detail) => {
    await run(command[0]!, command.slice(1), { cwd: directory, env, onLine: onLine(detail) }).catch((error) => {
      if (!/^Ran \d+ of /m.test(log)) throw error; // it could not begin
    });
  });
  return log;
}

/** As ginkgo writes it; tests that were left out do not count. */
export function parseJunit(xml: string): KubernetesResults {
  const failed: string[] = [];
  let passed = 0;
  for (const [, attributes = ''] of xml.matchAll(/<testcase\s([^>]*)>/g)) {
    const [, name = ''] = /\bname="([^"]*)"/.exec(attributes) ?? [];
    const [, status = ''] = /\bstatus="([^"]*)"/.exec(attributes) ?? [];
    if (!name.startsWith('[It]')) continue;
    if (status === 'passed') passed++;
    else if (status !== 'skipped' && status !== 'pending') failed.push(name.replace(/^\[It\] /, ''));
  }
  return { passed, failed };
}

export function formatResults({ passed, failed }: KubernetesResults): string {
  return [`${passed} passed, ${failed.length} failed`, ...failed.map((name) => `  failed: ${name}`)].join('\n');
}

function keep(context: Context, stack: string, directory: string, log: string): void {
  const kept = join(context.cache, 'logs', `${stack}.conformance`);
  mkdirSync(kept, { recursive: true });
  writeFileSync(join(kept, 'log'), log);
  writeFileSync(join(kept, 'junit.xml'), readFileSync(join(directory, 'junit_01.xml')));
  say(`What the tests said is in ${kept}`);
}

export function assertKubernetesOptions({ ci }: Options): void {
  if (ci?.kubernetes || (ci?.kubeconfig === undefined && ci?.focus === undefined)) return;
  throw new ToolError('USAGE', '--kubeconfig and --focus are of --kubernetes', { exitCode: 2 });
}

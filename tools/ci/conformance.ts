/** The conformance tests on a stack that is there. */
import { writeFileSync } from 'node:fs';
import { ToolError } from '../setup/errors.mjs';
import type { Context, Options } from '../src/context.ts';
import { Pulumi } from '../src/pulumi/cli.ts';
import { flag } from '../src/pulumi/names.ts';
import { readOutputs, readSetting } from '../src/pulumi/stack.ts';
import { asOutputs } from '../src/report/outputs.ts';
import { failures } from './conformance/checks.ts';
import { assertKubernetesOptions, kubernetesConformance } from './conformance/kubernetes.ts';
import { formatConformance, runConformance } from './conformance/run.ts';
import { makeSubstrate } from './conformance/substrates.ts';
import { formatReport } from './report.ts';

export async function conformance(context: Context, options: Options): Promise<number> {
  const { stack, ci } = options;
  assertKubernetesOptions(options);
  if (ci?.kubernetes) return kubernetesConformance(context, options);
  const pulumi = new Pulumi(context);
  const outputs = asOutputs(await readOutputs(pulumi, stack));
  if (outputs === undefined) {
    throw new ToolError('INCOMPLETE', `The stack "${stack}" has no outputs: "npm run up${flag(stack)}" completes it`);
  }
  const environment = (await readSetting(pulumi, stack, 'environment')) ?? 'local';
  const place = { stack, environment, region: await readSetting(pulumi, stack, 'region') };
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interruption.abort());
  const checks = await runConformance(makeSubstrate(context, place, outputs), interruption.signal);
  process.stdout.write(`${formatConformance(checks)}\n`);
  const passed = checks.length > 0 && failures(checks).length === 0;
  if (ci?.reportFile !== undefined) {
    const outcome = passed ? 'passed' : 'failed';
    const report = { stack, environment, outcome, removed: false, phases: [], checks } as const;
    writeFileSync(ci.reportFile, formatReport(report, ci.reportFile));
  }
  if (checks.length === 0)
    throw new ToolError('NOTHING', `"${stack}" has no pods on two nodes, so there is nothing to test`);
  return passed ? 0 : 1;
}

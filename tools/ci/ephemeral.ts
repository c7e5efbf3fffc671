/**
 * An environment for one run: up, tests, destroy. All of it happens in a process with a session of its own, which hears of
 * each signal once and outlives the command that started it; so the stack is removed also when a terminal is closed or the
 * command is killed.
 */
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Stack } from '@pulumi/pulumi/automation';
import { build } from '../build/build.ts';
import type { CiOptions } from '../options.mjs';
import { ToolError } from '../setup/errors.mjs';
import { say } from '../setup/progress.mjs';
import { runWithSignals } from '../src/children.ts';
import type { Context, Options } from '../src/context.ts';
import {
  assertStateIsKept,
  configure,
  prepareState,
  readSetting,
  stackExists,
  storeSettings,
  takeOver,
} from '../src/pulumi/stack.ts';
import { asOutputs, type Outputs } from '../src/report/outputs.ts';
import { checkSettings } from '../src/settings/check.ts';
import { runCommand } from './command.ts';
import { type CheckResult, failures } from './conformance/checks.ts';
import { formatConformance, runConformance } from './conformance/run.ts';
import { makeSubstrate } from './conformance/substrates.ts';
import { expiryTime } from './expiry.ts';
import { gitOf, identify } from './identity.ts';
import { ciStackName, type Origin } from './names.ts';
import { PhaseFailure, Phases } from './phases.ts';
import { formatReport, type Report } from './report.ts';
import { BRIEFLY, print, tearDown } from './teardown.ts';
import { CI_DEFAULTS } from './usage.mjs';
import { type Ci, cloudSettings, makeStack, openCi } from './workspace.ts';

/** Exit codes beside 0 (passed), 1 (failed; the stack is gone) and 128 + n (ended by a signal; the stack is gone). */
const LEFT_BEHIND = 3;
const WORKER = 'FLANNEL_TS_CI_WORKER';

export async function ephemeral(context: Context, options: Options): Promise<number> {
  const { env } = context;
  if (env[WORKER] === undefined) {
    return runWithSignals(process.execPath, process.argv.slice(1), { env: { ...env, [WORKER]: 'true' } });
  }
  delete env[WORKER];
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // nobody may be left to read
  const ci = options.ci ?? CI_DEFAULTS;
  const identity = identify(ci, env, gitOf(context.root));
  return new EphemeralRun(context, options, ci, { ...identity, environment: ci.environment }).execute();
}

class EphemeralRun {
  private readonly name: string;
  private readonly phases: Phases;
  private readonly interruption = new AbortController();
  private interruptedBy: NodeJS.Signals | undefined;
  private checks: CheckResult[] = [];

  constructor(
    private readonly context: Context,
    private readonly options: Options,
    private readonly settings: CiOptions,
    private readonly origin: Origin,
  ) {
    this.name = ciStackName(origin);
    this.phases = new Phases(context.env.GITHUB_ACTIONS === 'true');
  }

  async execute(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.interrupt(signal));
    const { branch, commit, environment } = this.origin;
    say(`The stack "${this.name}" for ${commit.slice(0, 12)} of ${branch}, environment ${environment}`);
    const ci = await openCi(this.context, this.name);
    await this.phases
      .run('build', () => build(this.context.root, this.context.env))
      .then(
        () => this.upAndTest(ci),
        () => {},
      );
    const removed = await this.remove(ci);
    return this.conclude(removed);
  }

  private interrupt(signal: NodeJS.Signals): void {
    if (this.interruptedBy !== undefined) {
      say(`${signal}: already removing the stack, which must not be cut off`);
      return;
    }
    this.interruptedBy = signal;
    say(`${signal}: ending what runs, then removing the stack`);
    this.interruption.abort();
  }

  /** Whatever goes wrong is told by its phase. */
  private async upAndTest(ci: Ci): Promise<void> {
    try {
      const stack = await this.phase('stack', () => this.prepare(ci));
      const outputs = await this.phase('up', () => this.up(stack));
      await this.phase('unchanged', () => this.expectNoChanges(stack));
      await this.phase('conformance', () => this.conformance(ci, outputs));
      if (this.options.words.length > 0) await this.phase('command', () => this.command(outputs));
    } catch (error) {
      if (!this.phases.failed) throw error;
    }
  }

  private async phase<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.phases.run(name, async () => {
      if (this.interruption.signal.aborted) throw new PhaseFailure('interrupted');
      return work();
    });
  }

  private async prepare(ci: Ci): Promise<Stack> {
    const { environment } = this.origin;
    const local = environment === 'local';
    const left = await stackExists(ci.pulumi, this.name);
    if (left) {
      say('An earlier run has left it; this one goes on with it');
      await takeOver(ci.pulumi, this.name);
    }
    if (!local && !left) assertStateIsKept(ci.pulumi, this.name);
    const stack = await makeStack(ci, this.name, this.origin, expiryTime(new Date(), this.settings.ttlHours));
    if (left && local) await prepareState(ci.pulumi, this.name);
    if (!local) {
      await ci.workspace.setAllConfigJson(this.name, await cloudSettings(ci, this.name));
      await configure(ci.pulumi, this.name, { ttlHours: String(this.settings.ttlHours) });
    }
    const changes = { set: { environment, ...this.options.config }, unset: [] };
    await storeSettings(ci.pulumi, this.name, checkSettings(this.context.root, this.name, changes), changes);
    return stack;
  }

  private async up(stack: Stack): Promise<Outputs> {
    const policyPacks = this.settings.policies ? [join(this.context.root, 'infra', 'policy')] : [];
    const { signal } = this.interruption;
    const { outputs } = await stack
      .up({ policyPacks, signal, suppressOutputs: true, onOutput: print, onError: print })
      .catch(() => Promise.reject(new PhaseFailure('Pulumi says above why')));
    const known = asOutputs(Object.fromEntries(Object.entries(outputs).map(([key, { value }]) => [key, value])));
    if (known === undefined) throw new PhaseFailure('the stack has no outputs');
    return known;
  }

  private async expectNoChanges(stack: Stack): Promise<void> {
    const { signal } = this.interruption;
    await stack
      .preview({ expectNoChanges: true, signal, ...BRIEFLY, onOutput: print, onError: print })
      .catch(() => Promise.reject(new PhaseFailure('a second update would change something')));
  }

  private async conformance({ pulumi }: Ci, outputs: Outputs): Promise<void> {
    const region = await readSetting(pulumi, this.name, 'region');
    const place = { stack: this.name, environment: this.origin.environment, region };
    const substrate = makeSubstrate(this.context, place, outputs);
    this.checks = await runConformance(substrate, this.interruption.signal);
    print(`${formatConformance(this.checks)}\n`);
    const failed = failures(this.checks).length;
    if (this.checks.length === 0) throw new PhaseFailure('nothing to test: there are no pods on two nodes');
    if (failed > 0) throw new PhaseFailure(`${failed} of ${this.checks.length} checks failed`);
  }

  private async command(outputs: Outputs): Promise<void> {
    const { root, env } = this.context;
    const { network, nodes, etcdEndpoints, artifact, pods } = outputs; // and no secret
    const FLANNEL_STACK_OUTPUTS = JSON.stringify({ network, nodes, etcdEndpoints, artifact, pods });
    const options = { cwd: root, env: { ...env, FLANNEL_STACK: this.name, FLANNEL_STACK_OUTPUTS } };
    const code = await runCommand(this.options.words, options, this.interruption.signal);
    if (code !== 0) throw new PhaseFailure(`ended with ${code}`);
  }

  /** False if the stack is still there. */
  private async remove(ci: Ci): Promise<boolean> {
    const looked = this.phases.failed && this.interruptedBy === undefined && this.settings.keepOnFailure;
    if (looked) {
      say(
        `The stack "${this.name}" is left to be looked at: "npm run pulumi -- destroy --remove --stack ${this.name}"`,
      );
      return false;
    }
    return this.phases
      .run('destroy', () => tearDown(ci, this.name, this.origin.environment))
      .then(
        () => true,
        (error: unknown) => {
          say(error instanceof ToolError ? error.message : String(error));
          return false;
        },
      );
  }

  private conclude(removed: boolean): number {
    const { phases, interruptedBy, settings } = this;
    const outcome = interruptedBy !== undefined ? 'interrupted' : phases.failed ? 'failed' : 'passed';
    const report: Report = {
      stack: this.name,
      ...this.origin,
      outcome,
      removed,
      phases: phases.done,
      checks: this.checks,
    };
    if (settings.reportFile !== undefined)
      writeFileSync(settings.reportFile, formatReport(report, settings.reportFile));
    say(`\n${outcome}; the stack "${this.name}" is ${removed ? 'gone' : 'still there'}`);
    const left =
      !removed && !(settings.keepOnFailure && outcome === 'failed' && phases.done.at(-1)?.name !== 'destroy');
    if (left) return LEFT_BEHIND;
    if (interruptedBy !== undefined) return 128 + constants.signals[interruptedBy];
    return outcome === 'passed' ? 0 : 1;
  }
}

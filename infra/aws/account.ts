/**
 * What an `up` does in an account beside Pulumi's provider for it: waits. Bundled as dist/account.cjs, for Pulumi's provider process
 * cannot load TypeScript.
 */
import { handler } from '../local/host/resource.ts';
import { awsCli } from './cli.ts';
import { untilSettled, type Wanted } from './group-state.ts';
import { runOnInstance } from './systems-manager.ts';

export interface CommandInputs {
  readonly region: string;
  readonly instance: string;
  /** Idempotent, and without secrets: the account's history shows it. */
  readonly script: string;
  readonly comment: string;
}

export interface SettledInputs extends Wanted {
  readonly region: string;
}

/** Nothing is left of a command that has ended. */
const FOREVER = { observe: async () => ({ present: true }) as const, remove: async () => {} };

export const handlers = {
  command: handler<CommandInputs, object>({
    ...FOREVER,
    id: ({ comment }) => comment,
    identity: [],
    ignored: ['comment'],
    ensure: async ({ region, instance, script, comment }) => {
      await runOnInstance(awsCli(region, process.env), instance, script, { comment });
      return {};
    },
  }),
  settled: handler<SettledInputs, object>({
    ...FOREVER,
    id: ({ group }) => group,
    identity: [],
    ensure: async ({ region, ...wanted }) => {
      await untilSettled(awsCli(region, process.env), wanted);
      return {};
    },
  }),
} as const;

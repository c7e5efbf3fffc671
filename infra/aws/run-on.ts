/** What an `up` waits for in an account: commands on machines, by Systems Manager since there is no SSH, and groups. */
import { Association } from '@pulumi/aws/ssm/association';
import * as pulumi from '@pulumi/pulumi';
import type { CommandInputs, SettledInputs } from './account.ts';
import type { Role } from './contract.ts';
import { ROLE_TAG, STACK_TAG } from './tags.ts';

/** The text of these is kept in the state: nothing but names, that find the code in whatever checkout the command runs. */
const command: pulumi.dynamic.ResourceProvider = {
  check: (olds, news) => require('@flannel-ts/infra/account').handlers.command.check(olds, news),
  diff: (id, olds, news) => require('@flannel-ts/infra/account').handlers.command.diff(id, olds, news),
  create: (inputs) => require('@flannel-ts/infra/account').handlers.command.create(inputs),
  update: (id, olds, news) => require('@flannel-ts/infra/account').handlers.command.update(id, olds, news),
};
const settled: pulumi.dynamic.ResourceProvider = {
  check: (olds, news) => require('@flannel-ts/infra/account').handlers.settled.check(olds, news),
  diff: (id, olds, news) => require('@flannel-ts/infra/account').handlers.settled.diff(id, olds, news),
  create: (inputs) => require('@flannel-ts/infra/account').handlers.settled.create(inputs),
  update: (id, olds, news) => require('@flannel-ts/infra/account').handlers.settled.update(id, olds, news),
};

type Args<I> = { readonly [K in keyof I]: pulumi.Input<I[K]> };

class Command extends pulumi.dynamic.Resource {
  constructor(name: string, args: Args<CommandInputs>, options: pulumi.CustomResourceOptions) {
    super(command, name, { drift: undefined, ...args }, options, 'aws', 'Command');
  }
}

/** Made when all machines of the group are in service, with the version of the template that it was told. */
export class GroupSettled extends pulumi.dynamic.Resource {
  constructor(name: string, args: Args<SettledInputs>, options: pulumi.CustomResourceOptions) {
    super(settled, name, { drift: undefined, ...args }, options, 'aws', 'GroupSettled');
  }
}

export interface Target {
  readonly region: string;
  readonly instance: pulumi.Input<string>;
}

/**
 * Made when the commands have succeeded on the instance. Another instance or other commands are a new run; they must be idempotent
 * and hold no secrets.
 */
export function runOn(
  name: string,
  { region, instance }: Target,
  commands: readonly string[],
  options: pulumi.CustomResourceOptions,
): pulumi.Resource {
  const comment = `flannel ${pulumi.getStack()}: ${name}`;
  return new Command(name, { region, instance, script: commands.join('\n'), comment }, options);
}

/**
 * Lets all machines of a role run the commands: those that are there soon, those that come when they do. Nothing waits for it, since
 * there may be none, or one that is just going. Other commands are a new run.
 */
export function runOnAll(
  name: string,
  { stack, role }: { readonly stack: string; readonly role: Role },
  commands: readonly string[],
  options: pulumi.CustomResourceOptions,
): pulumi.Resource {
  return new Association(
    name,
    {
      name: 'AWS-RunShellScript',
      targets: [
        { key: `tag:${STACK_TAG}`, values: [stack] },
        { key: `tag:${ROLE_TAG}`, values: [role] },
      ],
      parameters: { commands: commands.join('\n'), executionTimeout: '1200' },
    },
    { ...options, replaceOnChanges: ['targets', 'parameters'] },
  );
}

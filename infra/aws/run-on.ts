/** Commands that an `up` runs on a machine, and waits for: by Systems Manager, since there is no SSH. */
import { Association } from '@pulumi/aws/ssm/association';
import type * as pulumi from '@pulumi/pulumi';
import type { Role } from './contract.ts';
import { ROLE_TAG, STACK_TAG } from './tags.ts';

/** Booting, installing and joining take a minute or two, with retries a few more. */
const WAIT_SECONDS = 1200;

/**
 * Created when the commands have succeeded on the instance. Another instance or another command is a new run; the commands must
 * be idempotent and hold no secrets.
 */
export function runOn(
  name: string,
  instanceId: pulumi.Input<string>,
  commands: readonly string[],
  options: pulumi.CustomResourceOptions,
): pulumi.Resource {
  return new Association(
    name,
    {
      name: 'AWS-RunShellScript',
      targets: [{ key: 'InstanceIds', values: [instanceId] }],
      parameters: { commands: commands.join('\n'), executionTimeout: String(WAIT_SECONDS) },
      waitForSuccessTimeoutSeconds: WAIT_SECONDS,
    },
    // Only the creation waits for success.
    { ...options, replaceOnChanges: ['targets', 'parameters'] },
  );
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
      parameters: { commands: commands.join('\n'), executionTimeout: String(WAIT_SECONDS) },
    },
    { ...options, replaceOnChanges: ['targets', 'parameters'] },
  );
}

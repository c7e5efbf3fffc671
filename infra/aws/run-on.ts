/** Commands that an `up` runs on a machine, and waits for: by Systems Manager, since there is no SSH. */
import { Association } from '@pulumi/aws/ssm/association';
import type * as pulumi from '@pulumi/pulumi';

/** A machine boots, installs and joins in a minute or two; with retries it may be some more. */
const WAIT_SECONDS = 1200;

/**
 * Made when the commands have ended well on the instance. Another instance or another command is another run; the commands
 * must bear to be run again, and not be secret.
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

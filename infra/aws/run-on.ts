/** Commands that an `up` runs on a machine, and waits for: by Systems Manager, since there is no SSH. */
import { Association } from '@pulumi/aws/ssm/association';
import type * as pulumi from '@pulumi/pulumi';

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

/** `npm run aws-preview`: what a stack would create in AWS, asked of the tests' double instead of an account. */
import type { Settings } from './support/project.ts';
import { DoubleStack } from './support/stack.ts';

/** One of the committed stacks, with other settings. Gives what Pulumi says. */
export async function preview(name: string, settings: Settings): Promise<string> {
  const stack = await DoubleStack.start(name, settings);
  try {
    return (await stack.project.preview(name)).stdout;
  } finally {
    await stack.stop();
  }
}

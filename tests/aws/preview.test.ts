import { finish, start } from '../e2e/support.ts';

jest.setTimeout(600_000);

const preview = (...args: string[]) => finish(start(['node', 'tools/run.mjs', 'aws-preview', ...args]));

test('npm run aws-preview shows what a stack would create, without an account', async () => {
  const { code, stdout } = await preview('--stack', 'dev', '--config', 'nodes=3');
  expect([code, stdout]).toEqual([0, expect.stringMatching(/\+ \d+ to create/)]);
  expect(stdout).toContain('aws:ec2');
});

test('npm run aws-preview knows the committed stacks only, and checks settings', async () => {
  const unknown = await preview('--stack', 'mine');
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('use dev, ci or prod')]);
  const wrong = await preview('--config', 'nodez=3');
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('did you mean "nodes"?')]);
});

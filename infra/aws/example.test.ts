import * as pulumi from '@pulumi/pulumi';

const made: { type: string; provider: string | undefined }[] = [];

test('example() makes a VPC with two zones in a program of its own', async () => {
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, provider }) => {
        made.push({ type, provider });
        return { id: `${name}-id`, state: inputs };
      },
      call: () => ({}),
    },
    'theirs',
    'main',
  );
  const { example } = await import('./example.ts');
  const { nodesIn, group } = example();
  await pulumi.runtime.disconnect();
  expect(nodesIn).toHaveLength(2);
  const id = await new Promise((resolve) => void group.apply(resolve));
  expect(id).toBe('mine-node-id');
  const resources = made.filter(({ type }) => type.startsWith('aws:'));
  expect(resources.filter(({ type }) => type === 'aws:ec2/subnet:Subnet')).toHaveLength(6);
  for (const { provider } of resources) expect(provider).toContain('frankfurt');
});

/** The stack `ci`, which lives for one run of tests: nodes with fixed addresses, a time to live, and an end without leftovers. */
import { describeLifecycle, expectTeardownOrder, touched } from './support/lifecycle.ts';
import { stackAddresses } from './support/stack.ts';

jest.setTimeout(600_000);

const NODES = ['node-0', 'node-1'];

describeLifecycle('ci', {}, (of) => {
  test('everything that can have tags says when it may go, machines and their volumes too', async () => {
    const resources = await of().stack.double.resources();
    const tagged = resources.filter(({ outputs }) => outputs.tagsAll !== undefined);
    expect(tagged.length).toBeGreaterThan(10);
    for (const { name, outputs } of tagged) {
      const { 'flannel:ttl': until, 'flannel:stack': stack } = outputs.tagsAll as Record<string, string>;
      expect([name, stack, Date.parse(until ?? '') > Date.now()]).toEqual([name, 'flannel/ci', true]);
    }
    const roots = (await of().stack.find('Instance')).map(({ inputs }) => inputs.rootBlockDevice as { tags?: object });
    for (const { tags } of roots) expect(tags).toHaveProperty(['flannel:ttl']);
  });

  test('another artifact replaces one node after another, and each keeps its address', async () => {
    const { stack } = of();
    const before = await stackAddresses(stack);
    const work = await stack.change({ artifact: stack.artifact('flannel', '2').directory });
    expect(work.names('delete', 'Instance')).toEqual(NODES);
    expect(work.names('create', 'Instance')).toEqual(NODES);
    const [, second] = work.of('delete', 'Instance');
    expect(work.notBefore(work.of('create', 'Instance').slice(0, 1), [second!])).toEqual([]);
    // The next one goes when the one before is ready.
    const [ready] = work.of('run', 'Command').filter(({ name }) => name === 'node-0-ready');
    expect(work.notBefore([ready!], [second!])).toEqual([]);
    expect(touched(work)).toEqual([]);
    expect(await stackAddresses(stack)).toEqual(before);
  });

  test('one node more is one more machine', async () => {
    const work = await of().stack.change({ nodes: 3 });
    expect(work.all).toEqual(['create Instance node-2', 'create NetworkInterface node-2', 'run Command node-2-ready']);
  });

  test('destroy leaves nothing', async () => {
    const { stack } = of();
    expectTeardownOrder(await stack.work(() => stack.project.destroy('ci')));
    expect(await stack.double.resources()).toEqual([]);
  });
});

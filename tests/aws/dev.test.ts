/** The stack `dev` from its first preview to its end. */
import { describeLifecycle, expectTeardownOrder } from './support/lifecycle.ts';

jest.setTimeout(600_000);

describeLifecycle('dev', {}, (of) => {
  test('destroy leaves nothing', async () => {
    const { stack } = of();
    const work = await stack.work(() => stack.project.destroy('dev'));
    expectTeardownOrder(work);
    expect(await stack.double.resources()).toEqual([]);
    expect(await stack.double.machines()).toEqual([]);
  });
});

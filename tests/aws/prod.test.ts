/** The stack `prod`: three zones, and data that cannot go by mistake. */
import { describeLifecycle, expectTeardownOrder } from './support/lifecycle.ts';

jest.setTimeout(240_000);

describeLifecycle('prod', {}, (of) => {
  test('its machines are in three zones, with a way out in each', async () => {
    const { stack } = of();
    const zones = (await stack.find('Instance')).map(({ outputs }) => outputs.availabilityZone);
    expect(new Set(zones).size).toBe(3);
    expect(await stack.find('NatGateway')).toHaveLength(3);
    expect(new Set((await stack.double.machines()).map(({ address }) => address.split('.')[2])).size).toBe(3);
  });

  test('destroy is refused, with the name of what is protected, and nothing is lost', async () => {
    const { stack } = of();
    await stack.double.clearJournal();
    const { code, output } = await stack.project.tryDestroy('prod');
    expect(code).not.toBe(0);
    expect(output).toMatch(/protect/);
    expect(output).toContain('etcd-etcd-0-data');
    expect((await stack.double.done()).map(({ operation, name }) => `${operation} ${name}`)).toEqual([]);
    await stack.project.up('prod', '--expect-no-changes');
  });

  test('without protection it goes, but for what is kept: data volumes, snapshots, and the key that opens them', async () => {
    const { stack } = of();
    const unprotected = await stack.change({ protect: false, forceDestroy: true });
    expect(unprotected.types('create', 'delete')).toEqual([]);
    const work = await stack.work(() => stack.project.destroy('prod'));
    expectTeardownOrder(work);
    const left = await stack.double.resources();
    console.log(
      unprotected.all,
      left.map(({ type, name }) => `${type} ${name}`),
    );
    expect((await stack.find('Volume')).map(({ name }) => name).sort()).toEqual(
      [0, 1, 2].map((i) => `etcd-etcd-${i}-data`),
    );
  });
});

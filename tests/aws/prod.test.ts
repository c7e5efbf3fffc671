/** The stack `prod`: three zones, and data that cannot go by mistake. */
import { describeLifecycle, expectTeardownOrder } from './support/lifecycle.ts';
import { shortType } from './support/stack.ts';

jest.setTimeout(600_000);

describeLifecycle('prod', {}, (of) => {
  test('its machines are in three zones, with a way out in each', async () => {
    const { stack } = of();
    const zones = (await stack.find('Instance')).map(({ outputs }) => outputs.availabilityZone);
    expect(new Set(zones).size).toBe(3);
    expect(await stack.find('NatGateway')).toHaveLength(3);
    expect(new Set((await stack.double.machines()).map(({ address }) => address.split('.')[2])).size).toBe(3);
  });

  test('destroy is refused, with the names of what is protected, before anything is deleted', async () => {
    const { stack } = of();
    await stack.double.clearJournal();
    const { code, output } = await stack.project.tryDestroy('prod');
    expect(code).not.toBe(0);
    expect(output).toContain('etcd-etcd-0-data');
    expect(output).toMatch(/cannot be deleted\s+because it is protected/);
    expect(await stack.double.done()).toEqual([]);
    await stack.project.up('prod', '--expect-no-changes');
  });

  test('without protection it goes, but for data volumes, snapshots, and the key that opens them', async () => {
    const { stack } = of();
    const unprotected = await stack.change({ protect: false });
    expect(unprotected.types('create', 'delete')).toEqual([]);
    expectTeardownOrder(await stack.work(() => stack.project.destroy('prod')));
    const left = (await stack.double.resources()).filter(({ type }) => !type.includes('s3/bucket'));
    expect(left.map(({ type, name }) => `${shortType(type)} ${name}`).sort()).toEqual([
      'Key key',
      'Volume etcd-etcd-0-data',
      'Volume etcd-etcd-1-data',
      'Volume etcd-etcd-2-data',
    ]);
    expect((await stack.find('Bucket')).map(({ name }) => name)).toEqual(['flannel-backup']);
    expect(await stack.double.machines()).toEqual([]);
  });
});

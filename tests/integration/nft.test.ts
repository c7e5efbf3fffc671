import { execFileSync } from 'node:child_process';
import { applyRuleset, deleteTable, ensureTable } from '@flannel-ts/nft/apply';
import { listTable } from '@flannel-ts/nft/list';
import { planTable } from '@flannel-ts/nft/plan';
import { type Chain, type Hook, renderTable, type Table } from '@flannel-ts/nft/ruleset';
import fc from 'fast-check';
import { CHAINS, rule } from './support/nft-chains.ts';

const NAME = `fltest-${process.pid}-nft`;
const netns = `/run/netns/${NAME}`;

const FORWARD: Hook = { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' };

const table = (...chains: Chain[]): Table => ({ family: 'inet', name: 'fltest', chains });
const listed = () => listTable('inet', 'fltest', { netns });
const nft = (...args: string[]) => execFileSync('nsenter', [`--net=${netns}`, 'nft', ...args], { encoding: 'utf8' });

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', NAME]);
});

afterAll(() => {
  execFileSync('ip', ['netns', 'del', NAME]);
});

afterEach(() => deleteTable('inet', 'fltest', { netns }));

describe('nft', () => {
  const everything = table(...CHAINS, { name: 'onward', hook: { ...FORWARD, priority: 5, policy: 'drop' }, rules: [] });

  test('listTable() reads back every kind of expression that renderTable() writes', async () => {
    await applyRuleset(renderTable(everything), { netns });
    expect(await listed()).toEqual(everything);
  });

  test('listTable() reads any prefix as it was written', async () => {
    const prefix = fc.oneof(
      fc
        .tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }))
        .map(([ip, length]) => ({ family: 'ip' as const, prefix: `${ip}/${length}` })),
      fc
        .tuple(fc.nat(0xffff), fc.integer({ min: 0, max: 128 }))
        .map(([n, length]) => ({ family: 'ip6' as const, prefix: `fd00:${n.toString(16)}::1/${length}` })),
    );
    // All samples in one table: nft is started twice, not twice a sample.
    const rules = fc
      .sample(prefix, 100)
      .map((sample) => rule({ kind: 'address', side: 'saddr', ...sample }, { kind: 'accept' }));
    await applyRuleset(renderTable(table({ name: 'c', rules })), { netns });
    const first = await listed();
    expect(first?.chains[0]?.rules.every((r) => r.expressions.every((e) => e.kind !== 'other'))).toBe(true);
    // The kernel masks host bits, so the first listing differs from what was written; it does not differ from itself.
    await applyRuleset(`flush chain inet fltest c\n${renderTable(first!)}`, { netns });
    expect(await listed()).toEqual(first);
  });

  test('ensureTable() applies once and then finds nothing to do', async () => {
    expect(await ensureTable(everything, { netns })).toBe(true);
    expect(await ensureTable(everything, { netns })).toBe(false);
    expect(planTable(await listed(), everything)).toBeUndefined();
  });

  test.each([
    ['a rule is gone', 'flush chain inet fltest post'],
    ['a rule is doubled', 'insert rule inet fltest post masquerade'],
    ['a chain is added', 'add chain inet fltest strange'],
    ['a chain has a rule of an unknown kind', 'add rule inet fltest next ct state established accept'],
    ['the table is gone', 'delete table inet fltest'],
  ])('ensureTable() puts it right when %s', async (_, damage) => {
    await ensureTable(everything, { netns });
    nft(damage);
    expect(await ensureTable(everything, { netns })).toBe(true);
    expect(planTable(await listed(), everything)).toBeUndefined();
  });

  test('ensureTable() changes the hook of a chain', async () => {
    await ensureTable(table({ name: 'c', hook: { ...FORWARD, priority: 7 }, rules: [rule({ kind: 'drop' })] }), {
      netns,
    });
    const wanted = table({ name: 'c', hook: FORWARD, rules: [rule({ kind: 'accept' })] });
    await ensureTable(wanted, { netns });
    expect(await listed()).toEqual(wanted);
  });

  test('ensureTable() leaves other chains alone on request, and other tables always', async () => {
    nft('add table inet fltest-other');
    await ensureTable(table({ name: 'a', rules: [] }), { netns });
    await ensureTable(table({ name: 'b', rules: [] }), { netns, keepOtherChains: true });
    expect((await listed())?.chains.map((chain) => chain.name).sort()).toEqual(['a', 'b']);
    await deleteTable('inet', 'fltest', { netns });
    expect(nft('list', 'tables')).toBe('table inet fltest-other\n');
    nft('delete table inet fltest-other');
  });

  test('applyRuleset() changes nothing when one command is wrong', async () => {
    await expect(applyRuleset('add table inet fltest\nadd chain inet nowhere c\n', { netns })).rejects.toThrow(
      /^nft refused the rules and changed nothing: .*No such file or directory/,
    );
    expect(await listed()).toBeUndefined();
  });

  test('deleteTable() is fine without a table', async () => {
    await deleteTable('inet', 'fltest', { netns });
    expect(await listed()).toBeUndefined();
  });

  test('listTable() distinguishes an absent namespace from an absent table', async () => {
    await expect(listTable('ip', 'x', { netns: '/run/netns/fltest-nowhere' })).rejects.toThrow('nsenter');
  });

  test('listTable() stops at the signal', async () => {
    await expect(listTable('ip', 'x', { netns, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});

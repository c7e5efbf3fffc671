import fc from 'fast-check';
import { planTable } from './plan.ts';
import type { Chain, Hook, Rule, Table } from './ruleset.ts';

const HOOK: Hook = { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' };
const ACCEPT: Rule = { expressions: [{ kind: 'accept' }] };
const DROP: Rule = { expressions: [{ kind: 'drop' }] };
const table = (...chains: Chain[]): Table => ({ family: 'ip', name: 't', chains });
const lines = (text: string | undefined) => text?.trimEnd().split('\n');

describe('plan', () => {
  test('planTable() makes what is not there', () => {
    expect(lines(planTable(undefined, table({ name: 'a', hook: HOOK, rules: [ACCEPT, DROP] })))).toEqual([
      'add table ip t',
      'add chain ip t a { type filter hook forward priority 0; policy accept; }',
      'add rule ip t a accept',
      'add rule ip t a drop',
    ]);
  });

  test('planTable() makes a table without chains', () => {
    expect(lines(planTable(undefined, table()))).toEqual(['add table ip t']);
  });

  test('planTable() refills a chain whose rules differ, or stand in another order, or twice', () => {
    const wanted = table({ name: 'a', hook: HOOK, rules: [ACCEPT, DROP] });
    for (const rules of [[], [ACCEPT], [DROP, ACCEPT], [ACCEPT, DROP, DROP]]) {
      expect(lines(planTable(table({ name: 'a', hook: HOOK, rules }), wanted))).toEqual([
        'add table ip t',
        'flush chain ip t a',
        'add chain ip t a { type filter hook forward priority 0; policy accept; }',
        'add rule ip t a accept',
        'add rule ip t a drop',
      ]);
    }
  });

  test('planTable() replaces a chain with another hook', () => {
    const current = table({ name: 'a', hook: { ...HOOK, priority: 5 }, rules: [ACCEPT] });
    expect(lines(planTable(current, table({ name: 'a', hook: HOOK, rules: [ACCEPT] })))).toEqual([
      'add table ip t',
      'flush chain ip t a',
      'delete chain ip t a',
      'add chain ip t a { type filter hook forward priority 0; policy accept; }',
      'add rule ip t a accept',
    ]);
  });

  test('planTable() removes other chains, or leaves them on request', () => {
    const current = table({ name: 'a', rules: [ACCEPT] }, { name: 'b', rules: [DROP] });
    const wanted = table({ name: 'a', rules: [ACCEPT] });
    expect(lines(planTable(current, wanted))).toEqual(['add table ip t', 'flush chain ip t b', 'delete chain ip t b']);
    expect(planTable(current, wanted, { keepOtherChains: true })).toBeUndefined();
  });

  test('planTable() replaces a chain with a rule it cannot read', () => {
    const strange = table({ name: 'a', rules: [{ expressions: [{ kind: 'other', json: { quota: {} } }] }] });
    expect(lines(planTable(strange, table({ name: 'a', rules: [ACCEPT] })))).toContain('flush chain ip t a');
  });

  test('planTable() has nothing to do for a table as wanted, whatever the order of its chains', () => {
    const chains = fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('a', 'b', 'c', 'd'),
        rules: fc.array(fc.constantFrom(ACCEPT, DROP), { maxLength: 3 }),
      }),
      { selector: (chain) => chain.name },
    );
    fc.assert(
      fc.property(chains, (wanted) => {
        return planTable(table(...[...wanted].reverse()), table(...wanted)) === undefined;
      }),
    );
  });
});

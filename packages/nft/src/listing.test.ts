import { readListing } from './listing.ts';

const listing = (...objects: object[]) =>
  JSON.stringify({ nftables: [{ metainfo: { version: '1.0.6' } }, ...objects] });
const RULE = { family: 'ip', table: 't', chain: 'c', handle: 4 };

// Copied from nft 1.0.6; tests/integration/nft.test.ts asks the installed one.
describe('listing', () => {
  test('readListing() reads tables, chains and rules', () => {
    const tables = readListing(
      listing(
        { table: { family: 'ip', name: 't', handle: 2 } },
        {
          chain: {
            family: 'ip',
            table: 't',
            name: 'c',
            handle: 1,
            type: 'nat',
            hook: 'postrouting',
            prio: 100,
            policy: 'accept',
          },
        },
        { chain: { family: 'ip', table: 't', name: 'd', handle: 2 } },
        {
          rule: {
            ...RULE,
            comment: 'why',
            expr: [
              { match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, 16384] }, right: 16384 } },
              { counter: { packets: 5, bytes: 500 } },
              { masquerade: { flags: 'fully-random' } },
            ],
          },
        },
      ),
    );
    expect(tables).toEqual([
      {
        family: 'ip',
        name: 't',
        chains: [
          {
            name: 'c',
            hook: { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' },
            rules: [
              {
                comment: 'why',
                expressions: [
                  { kind: 'mark', value: 16384, mask: 16384 },
                  { kind: 'counter' },
                  { kind: 'masquerade', flags: ['fully-random'] },
                ],
              },
            ],
          },
          { name: 'd', rules: [] },
        ],
      },
    ]);
  });

  test.each([
    { match: { op: 'in', left: { ct: { key: 'state' } }, right: ['established', 'related'] } },
    { match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: { set: ['10.0.0.1'] } } },
    { match: { op: '<', left: { meta: { key: 'mark' } }, right: 5 } },
    { match: { op: '!=', left: { payload: { protocol: 'tcp', field: 'dport' } }, right: 5 } },
    { masquerade: { port: 5 } },
    { masquerade: { flags: 'random', port: 5 } },
    { mangle: { key: { meta: { key: 'mark' } }, value: 5 } },
    { dnat: { family: 'ip', addr: '10.0.0.1', port: 80, flags: 'random' } },
    { limit: { rate: 5 } },
    { accept: null, drop: null },
    'accept',
    null,
  ])('readListing() keeps %j as something it does not know', (expression) => {
    const [table] = readListing(
      listing(
        { table: { family: 'ip', name: 't' } },
        { chain: { family: 'ip', table: 't', name: 'c' } },
        { rule: { ...RULE, expr: [expression] } },
      ),
    );
    expect(table!.chains[0]!.rules[0]!.expressions).toEqual([{ kind: 'other', json: expression }]);
  });

  test.each(['', 'x', '{}', '[]', '{"nftables":{}}'])('readListing() refuses %j', (text) => {
    expect(() => readListing(text)).toThrow(expect.objectContaining({ code: 'UNREADABLE_LISTING' }));
  });
});

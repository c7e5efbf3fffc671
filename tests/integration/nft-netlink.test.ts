/** The ruleset by netlink, against Debian's nft: what we write it lists as we mean it, what it writes we read. */
import { execFileSync, spawn } from 'node:child_process';
import type { Command, TableName } from '@flannel-ts/nft/kernel/commands';
import { NftConnection } from '@flannel-ts/nft/kernel/connection';
import { listTable } from '@flannel-ts/nft/list';
import { sameChain } from '@flannel-ts/nft/plan';
import {
  type Chain,
  type Expression,
  type Hook,
  type Rule,
  renderTable,
  type SetElement,
  type SetSpec,
  type Table,
} from '@flannel-ts/nft/ruleset';
import fc from 'fast-check';
import { CHAINS, PREROUTING, rule } from './support/nft-chains.ts';

const NAME = `fltest-${process.pid}-nftnl`;
const netns = `/run/netns/${NAME}`;
const TABLE: TableName = { family: 'inet', name: 'fltest' };

const RAW: Hook = { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' };
const PODS: SetSpec = { name: 'pods4', key: ['ipv4_addr'], data: 'verdict' };
const PORTS: SetSpec = { name: 'ports4', key: ['inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] };
const PORTS6: SetSpec = {
  name: 'ports6',
  key: ['ipv6_addr', 'inet_proto', 'inet_service'],
  data: ['ipv6_addr', 'inet_service'],
};
const SEEN: SetSpec = { name: 'seen', key: ['ipv4_addr', 'inet_service'] };

const nftText = (...args: string[]) =>
  execFileSync('nsenter', [`--net=${netns}`, 'nft', ...args], { encoding: 'utf8' });
const listed = () => listTable('inet', 'fltest', { netns });

const commandsFor = (table: Table): Command[] => [
  { do: 'add table', table },
  ...(table.sets ?? []).map((set): Command => ({ do: 'add set', table, set })),
  ...table.chains.map((chain): Command => ({ do: 'add chain', table, chain })),
  ...table.chains.flatMap((chain) =>
    chain.rules.map((each): Command => ({ do: 'add rule', table, chain: chain.name, rule: each })),
  ),
];

const everything: Table = {
  ...TABLE,
  sets: [PODS, PORTS, PORTS6, SEEN],
  chains: [
    ...CHAINS,
    {
      name: 'raw',
      hook: RAW,
      rules: [rule({ kind: 'interface', side: 'iifname', not: true, name: 'lo' }, { kind: 'drop' })],
    },
  ],
};

/** What nft reads back in words of its own, which `listTable` does not know. */
const NEWER: readonly (readonly [Expression[], string])[] = [
  [[{ kind: 'ct-status', status: 'dnat' }, { kind: 'accept' }], 'ct status dnat accept'],
  [
    [{ kind: 'ct-state', states: ['established', 'related'] }, { kind: 'accept' }],
    'ct state established,related accept',
  ],
  [
    [{ kind: 'ether', side: 'saddr', mac: '0a:58:0a:f4:01:02' }, { kind: 'return' }],
    'ether saddr 0a:58:0a:f4:01:02 return',
  ],
  [[{ kind: 'verdict-map', keys: ['ip saddr'], map: 'pods4' }], 'ip saddr vmap @pods4'],
  [[{ kind: 'nfproto', family: 'ip6' }, { kind: 'drop' }], 'meta nfproto ipv6 drop'],
  [
    [{ kind: 'lookup', keys: ['ip daddr', 'th dport'], set: 'seen' }, { kind: 'drop' }],
    'ip daddr . th dport @seen drop',
  ],
  [
    [{ kind: 'lookup', keys: ['ip daddr', 'th dport'], not: true, set: 'seen' }, { kind: 'drop' }],
    'ip daddr . th dport != @seen drop',
  ],
  [
    [{ kind: 'dnat-map', family: 'ip', keys: ['meta l4proto', 'th dport'], map: 'ports4' }],
    'dnat ip to meta l4proto . th dport map @ports4',
  ],
  [
    [{ kind: 'dnat-map', family: 'ip6', keys: ['ip6 daddr', 'meta l4proto', 'th dport'], map: 'ports6' }],
    'dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6',
  ],
];

let nft: NftConnection;

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', NAME]);
  nft = NftConnection.open({ netns });
});
afterAll(() => {
  nft.close();
  execFileSync('ip', ['netns', 'del', NAME]);
});
afterEach(() => nftText('flush', 'ruleset'));

describe('rules', () => {
  test('nft lists every rule that is written by netlink as the value says', async () => {
    nft.apply(commandsFor(everything));
    expect((await listed())?.chains).toEqual(everything.chains);
  });

  test('every rule written by netlink is read back by netlink', () => {
    nft.apply(commandsFor(everything));
    const chains = nft.chains(TABLE)!;
    expect(chains.map(({ name, hook, rules }) => ({ name, ...(hook && { hook }), rules: rules.map(plain) }))).toEqual(
      everything.chains,
    );
  });

  test('every rule written by nft is read by netlink', () => {
    execFileSync('nsenter', [`--net=${netns}`, 'nft', '-f', '-'], { input: renderTable(everything) });
    for (const chain of nft.chains(TABLE)!) {
      const wanted = everything.chains.find(({ name }) => name === chain.name)!;
      expect(chain.rules.map(plain)).toEqual(wanted.rules);
      expect(sameChain({ ...chain, rules: chain.rules.map(plain) }, wanted)).toBe(true);
    }
  });

  test.each(NEWER)('%j is read by nft, and by us from both writers', (expressions, text) => {
    const chain: Chain = { name: 'c', hook: text.startsWith('dnat') ? PREROUTING : RAW, rules: [{ expressions }] };
    nft.apply(commandsFor({ ...everything, chains: [chain] }));
    const lines = nftText('list', 'chain', 'inet', 'fltest', 'c').split('\n');
    expect(lines[3]!.trim()).toBe(text);
    expect(nft.chains(TABLE)![0]!.rules.map(plain)).toEqual(chain.rules);
    nftText('flush', 'chain', 'inet', 'fltest', 'c');
    nftText('add', 'rule', 'inet', 'fltest', 'c', text);
    expect(nft.chains(TABLE)![0]!.rules.map(plain)).toEqual(chain.rules);
  });

  test('any prefix is written as nft writes it', async () => {
    const prefix = fc.oneof(
      fc
        .tuple(fc.ipV4(), fc.integer({ min: 1, max: 32 }))
        .map(([ip, length]) => ({ family: 'ip' as const, prefix: `${ip}/${length}` })),
      fc
        .tuple(fc.nat(0xffff), fc.integer({ min: 1, max: 128 }))
        .map(([n, length]) => ({ family: 'ip6' as const, prefix: `fd00:${n.toString(16)}::1/${length}` })),
    );
    const rules = fc
      .sample(prefix, 100)
      .map((sample) => rule({ kind: 'address', side: 'saddr', ...sample }, { kind: 'accept' }));
    nft.apply(commandsFor({ ...TABLE, chains: [{ name: 'c', rules }] }));
    const ours = (await listed())!.chains[0]!.rules;
    const read = nft.chains(TABLE)![0]!.rules.map(plain);
    nftText('flush', 'ruleset');
    execFileSync('nsenter', [`--net=${netns}`, 'nft', '-f', '-'], {
      input: renderTable({ ...TABLE, chains: [{ name: 'c', rules }] }),
    });
    expect((await listed())!.chains[0]!.rules).toEqual(ours);
    expect(read).toEqual(ours);
  });

  test('a rule that nft knows and we do not is read as one that equals nothing', () => {
    nftText('add', 'table', 'inet', 'fltest');
    nftText('add', 'chain', 'inet', 'fltest', 'c');
    nftText('add', 'rule', 'inet', 'fltest', 'c', 'limit', 'rate', '5/second', 'accept');
    nftText('add', 'rule', 'inet', 'fltest', 'c', 'meta', 'l4proto', 'icmp', 'accept');
    nftText('add', 'rule', 'inet', 'fltest', 'c', 'tcp', 'flags', 'syn', 'drop');
    const { rules } = nft.chains(TABLE)![0]!;
    expect(rules.every(({ expressions }) => expressions.some(({ kind }) => kind === 'other'))).toBe(true);
  });

  test('a rule is deleted by its handle, a chain flushed and deleted', () => {
    nft.apply(commandsFor(everything));
    const post = nft.chains(TABLE)!.find(({ name }) => name === 'post')!;
    const last = post.rules.at(-1)!;
    nft.apply([{ do: 'delete rule', table: TABLE, chain: 'post', handle: last.handle }]);
    expect(nft.chains(TABLE)!.find(({ name }) => name === 'post')!.rules).toHaveLength(post.rules.length - 1);
    nft.apply([
      { do: 'flush chain', table: TABLE, chain: 'raw' },
      { do: 'delete chain', table: TABLE, chain: 'raw' },
    ]);
    expect(nft.chains(TABLE)!.map(({ name }) => name)).not.toContain('raw');
    nft.apply([{ do: 'delete table', table: TABLE }]);
    expect(nft.hasTable(TABLE)).toBe(false);
    expect(nft.chains(TABLE)).toBeUndefined();
  });
});

describe('sets and maps', () => {
  const jump: SetElement = { key: ['10.244.1.5'], data: { kind: 'goto', target: 'next' }, comment: 'veth0' };
  const port: SetElement = { key: ['tcp', '8080'], data: ['10.244.1.5', '80'], comment: 'pod one' };
  const port6: SetElement = { key: ['fd00::1', 'udp', '53'], data: ['fd00:1::5', '53'] };
  const seen: SetElement = { key: ['10.0.0.1', '443'] };
  const add = (set: SetSpec, ...elements: SetElement[]): Command => ({
    do: 'add elements',
    table: TABLE,
    set,
    elements,
  });

  test('nft lists sets and elements as they were written, and so do we', () => {
    nft.apply([...commandsFor(everything), add(PODS, jump), add(PORTS, port), add(PORTS6, port6), add(SEEN, seen)]);
    const text = nftText('list', 'table', 'inet', 'fltest').replace(/\s+/g, ' ');
    expect(text).toContain(
      'map pods4 { type ipv4_addr : verdict elements = { 10.244.1.5 comment "veth0" : goto next } }',
    );
    expect(text).toContain(
      'map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service ' +
        'elements = { tcp . 8080 comment "pod one" : 10.244.1.5 . 80 } }',
    );
    expect(text).toContain('elements = { fd00::1 . udp . 53 : fd00:1::5 . 53 }');
    expect(text).toContain('elements = { 10.0.0.1 . 443 }');
    expect(nft.elements(TABLE, PODS)).toEqual([jump]);
    expect(nft.elements(TABLE, PORTS)).toEqual([port]);
    expect(nft.elements(TABLE, PORTS6)).toEqual([port6]);
    expect(nft.elements(TABLE, SEEN)).toEqual([seen]);
  });

  test('a set that nft has made is the same to us', () => {
    execFileSync('nsenter', [`--net=${netns}`, 'nft', '-f', '-'], { input: renderTable(everything) });
    nft.apply([
      ...(everything.sets ?? []).map((set): Command => ({ do: 'add set', table: TABLE, set })),
      add(PORTS, port),
    ]);
    expect(nft.elements(TABLE, PORTS)).toEqual([port]);
  });

  test('one element is found by its key, and none is none', () => {
    expect(nft.element(TABLE, PODS, jump.key)).toBeUndefined();
    nft.apply([...commandsFor(everything), add(PODS, jump)]);
    expect(nft.element(TABLE, PODS, jump.key)).toEqual(jump);
    expect(nft.element(TABLE, PODS, ['10.244.1.6'])).toBeUndefined();
    expect(nft.elements(TABLE, { ...PODS, name: 'none' })).toBeUndefined();
  });

  test('a thousand elements are one batch and one listing', () => {
    const elements = Array.from(
      { length: 1000 },
      (_, n): SetElement => ({
        key: ['tcp', String(n + 1)],
        data: [`10.244.${n >> 8}.${n & 255}`, '80'],
        comment: `owner-${n}`,
      }),
    );
    nft.apply([...commandsFor(everything), ...elements.map((element) => add(PORTS, element))]);
    const found = nft.elements(TABLE, PORTS)!;
    expect(found).toHaveLength(1000);
    expect(found).toEqual(expect.arrayContaining(elements.slice(0, 10)));
  });

  test('a batch of which one command is refused changes nothing, and says which and why', () => {
    nft.apply([...commandsFor(everything), add(PODS, jump)]);
    const attempt = () =>
      nft.apply([
        add(SEEN, seen),
        { do: 'delete elements', table: TABLE, set: PODS, keys: [['10.244.1.9']] },
        { do: 'add chain', table: TABLE, chain: { name: 'late' } },
      ]);
    expect(attempt).toThrow(
      expect.objectContaining({
        code: 'NFT_REFUSED',
        errno: 'ENOENT',
        message: expect.stringMatching(
          /^Cannot delete 10\.244\.1\.9 from inet fltest pods4: .*\(ENOENT\); no rule was changed$/,
        ),
      }),
    );
    expect(nft.elements(TABLE, SEEN)).toEqual([]);
    expect(nft.chains(TABLE)!.map(({ name }) => name)).not.toContain('late');
    const other: SetElement = { ...jump, data: { kind: 'drop' } };
    expect(() => nft.apply([add(PODS, other)])).toThrow(expect.objectContaining({ errno: 'EEXIST' }));
  });
});

describe('a ruleset that others change', () => {
  test('change() plans again when somebody was faster', () => {
    nft.apply(commandsFor(everything));
    let plans = 0;
    const done = nft.change(() => {
      plans += 1;
      if (plans < 3) nftText('add', 'table', 'inet', `fltest-other${plans}`);
      return [{ do: 'delete table', table: TABLE }];
    });
    expect([done, plans]).toEqual([true, 3]);
    expect(nft.change(() => [])).toBe(false);
  });

  test('change() gives up in a sentence when it never comes to its turn', () => {
    let n = 0;
    const rival = NftConnection.open({ netns });
    const attempt = () =>
      nft.change(() => {
        rival.apply([{ do: 'add table', table: { family: 'inet', name: `fltest-rival${n++}` } }]);
        return [{ do: 'add table', table: TABLE }];
      });
    expect(attempt).toThrow(expect.objectContaining({ code: 'NFT_BUSY' }));
    rival.close();
    expect(nft.hasTable(TABLE)).toBe(false);
  });

  test('counts that several programs keep in one map come out right', async () => {
    nft.apply(commandsFor(everything));
    const script = `for i in $(seq 1 60); do nft add element inet fltest seen "{ 10.0.1.$i . 1 }"; done`;
    const other = spawn('nsenter', [`--net=${netns}`, 'sh', '-c', script]);
    const ended = new Promise((resolve) => other.once('close', resolve));
    for (let n = 1; n <= 60; n++) {
      nft.change((now) => {
        const key = ['10.0.2.1', String(now.elements(TABLE, SEEN)!.filter(({ key }) => key[0] === '10.0.2.1').length)];
        return [{ do: 'add elements', table: TABLE, set: SEEN, elements: [{ key }] }];
      });
      await new Promise(setImmediate);
    }
    await ended;
    expect(nft.elements(TABLE, SEEN)).toHaveLength(120);
  });
});

function plain({ expressions, comment }: Rule): Rule {
  return comment === undefined ? { expressions } : { expressions, comment };
}

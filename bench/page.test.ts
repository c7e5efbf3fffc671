import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AIMS, judge } from './dataplane/aims.ts';
import { formatMarkdown } from './page.ts';
import { type Report, type Result, summarize } from './result.ts';

const fixture = (): Report => JSON.parse(readFileSync(join(__dirname, 'fixtures/report.json'), 'utf8')) as Report;

test('formatMarkdown() makes the same page of the same report, to the byte', () => {
  const page = formatMarkdown(fixture());
  expect(formatMarkdown(fixture())).toBe(page);
  expect(page).toMatchSnapshot();
});

test('formatMarkdown() names machine, kernel and day, and shows every result of the fast engine', () => {
  const report = fixture();
  const page = formatMarkdown(report);
  expect(page).toContain(`${report.date.slice(0, 10)}: ${report.machine}, Linux ${report.kernel}.`);
  const shown = report.results.filter(({ name }) => name.endsWith(': fast') && !name.includes(' bytes: '));
  expect(shown.length).toBeGreaterThan(20);
  for (const { name } of shown) {
    const measure = name.replace(/^(?:Profile, \w+|Options|flanneld): (?:time in: )?/, '').replace(/: fast$/, '');
    expect(page).toContain(measure);
  }
});

const figures = readdirSync(join(__dirname, '../docs')).filter((file) => /^performance.*\.json$/.test(file));
test.each(figures.map((file) => file.replace('.json', '')))(
  'docs/%s.md is the page of the figures beside it',
  (name) => {
    const [json, page] = ['json', 'md'].map((type) => readFileSync(join(__dirname, `../docs/${name}.${type}`), 'utf8'));
    expect(page).toBe(formatMarkdown(JSON.parse(json!) as Report));
  },
);

test('formatMarkdown() of other benchmarks alone has no data plane', () => {
  const add = summarize('ADD', 'ms', [5.04, 4, 6], { name: 'bridge (Go)', runs: [10] });
  const page = formatMarkdown({ ...fixture(), results: [add] });
  expect(page).not.toContain('## Data plane');
  expect(page).toContain('| ADD | ms | 5.04 | 4 to 6 | bridge (Go): 10 | 0.504 |');
});

describe('judge()', () => {
  const of = (name: string, own: number, peer: string, theirs: number): Result =>
    summarize(name, 'Gbit/s', [own], { name: peer, runs: [theirs] });
  const atLeast = { text: '', name: 'a: fast', peer: 'vxlan', least: 1 };
  const atMost = { text: '', name: 'a: fast', peer: 'vxlan', most: 1.5 };

  test('says by which share of the limit an aim was missed', () => {
    expect(judge([of('a: fast', 3, 'vxlan', 4)], [atLeast])).toMatchObject([
      { measured: 0.75, met: false, missedBy: 0.25 },
    ]);
    expect(judge([of('a: fast', 3, 'vxlan', 1)], [atMost])).toMatchObject([{ measured: 3, met: false, missedBy: 1 }]);
  });

  test('counts the limit itself as met', () => {
    expect(judge([of('a: fast', 3, 'vxlan', 2)], [atLeast, atMost])).toMatchObject([
      { met: true },
      { met: true, missedBy: 0 },
    ]);
  });

  test('compares with the peer of the aim only, and is silent about what was not measured', () => {
    expect(judge([of('a: fast', 3, 'reference', 4)], [atLeast])).toEqual([]);
  });

  test('knows each aim by a name of its own', () => {
    const keys = AIMS.map(({ name, peer, least }) => `${name} ${peer} ${least}`);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

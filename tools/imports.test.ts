/** Who may import whom: docs/architecture.md, "Rooms". Read from the sources, types included: a type that is known is a tie, too. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '..');
const WINGS = ['infra', 'daemon', 'cni', 'bench'];
const SOURCES = [...WINGS, 'packages', 'tools', 'tests'];

/** To be ended, not to be added to. */
const KNOWN_CIRCLES: readonly string[] = [];

/**
 * Rooms of daemon/src, by the longest path that fits, and the rooms that each may import; packages may be imported everywhere.
 * Nothing but main.ts and flanneld.ts knows the command line.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'abort.ts': [],
  'atomic-file.ts': [],
  'defined.ts': [],
  'errors.ts': [],
  'log.ts': [],
  'memory.ts': ['abort.ts'],
  'version.ts': [],
  'duty.ts': ['abort.ts'],
  'tasks.ts': ['abort.ts', 'errors.ts', 'repeats.ts'],
  'units.ts': [],
  'repeats.ts': ['units.ts'],
  'state/guard.ts': [],
  state: ['state/guard.ts', 'abort.ts', 'errors.ts', 'repeats.ts'],
  // What every data path is; tun/ is one of them.
  datapath: [],
  'datapath/tun': ['datapath', 'datapath/tun/engine', 'abort.ts', 'errors.ts'],
  'datapath/ebpf': ['datapath', 'datapath/tun/engine', 'abort.ts', 'errors.ts'],
  'datapath/tun/engine': ['datapath', 'abort.ts', 'errors.ts'],
  underlay: ['abort.ts', 'errors.ts', 'defined.ts'],
  // Pure: of the other rooms it knows shapes only (TYPES_ONLY).
  backend: ['errors.ts', 'state/guard.ts', 'state', 'datapath', 'underlay'],
  'identity.ts': ['atomic-file.ts', 'errors.ts', 'backend'],
  subnet: ['abort.ts', 'atomic-file.ts', 'errors.ts', 'defined.ts', 'repeats.ts', 'tasks.ts'],
  firewall: ['abort.ts', 'errors.ts', 'tasks.ts'],
  operate: [
    ...['abort.ts', 'atomic-file.ts', 'errors.ts', 'defined.ts', 'version.ts', 'repeats.ts', 'tasks.ts', 'units.ts'],
    ...['datapath', 'datapath/ebpf', 'state', 'subnet', 'firewall', 'underlay', 'backend'],
  ],
  'flags.ts': ['errors.ts'],
  'command-table.ts': ['flags.ts'],
  'flag-table.ts': ['flags.ts'],
  'flag-parity.ts': ['flag-table.ts'],
  'flag-help.ts': ['command-table.ts', 'flag-table.ts', 'flag-parity.ts', 'flags.ts'],
  'flag-values.ts': ['flag-table.ts', 'flags.ts', 'errors.ts', 'defined.ts'],
  completion: ['command-table.ts', 'flag-table.ts', 'flags.ts'],
  'man-page.ts': ['command-table.ts', 'flag-table.ts', 'flags.ts'],
  'flag-report.ts': ['flag-table.ts', 'flag-values.ts', 'flags.ts', 'errors.ts', 'operate'],
  'options.ts': [
    ...['flags.ts', 'command-table.ts', 'flag-table.ts', 'flag-values.ts', 'defined.ts', 'errors.ts'],
    ...['subnet', 'underlay', 'operate', 'firewall'],
  ],
  'refusal-log.ts': ['repeats.ts', 'backend'],
  'view.ts': ['errors.ts', 'refusal-log.ts', 'backend', 'datapath', 'subnet', 'underlay'],
  'follow-underlay.ts': ['abort.ts', 'errors.ts', 'backend', 'subnet', 'underlay'],
  'config-change.ts': [],
  'network-parts.ts': ['duty.ts', 'backend', 'datapath', 'subnet', 'firewall', 'underlay', 'operate'],
  'join.ts': ['errors.ts', 'network-parts.ts', 'view.ts', 'backend', 'subnet', 'underlay', 'operate'],
  'follow-config.ts': ['config-change.ts', 'errors.ts', 'join.ts', 'network-parts.ts', 'subnet'],
  'network.ts': [
    ...['network-parts.ts', 'join.ts', 'follow-config.ts', 'follow-underlay.ts', 'view.ts'],
    ...['abort.ts', 'errors.ts', 'defined.ts', 'tasks.ts'],
    ...['backend', 'datapath', 'state', 'subnet', 'firewall', 'underlay', 'operate'],
  ],
  'flanneld.ts': [
    ...[
      'abort.ts',
      'duty.ts',
      'errors.ts',
      'tasks.ts',
      'version.ts',
      'options.ts',
      'network.ts',
      'network-parts.ts',
      'identity.ts',
      'memory.ts',
    ],
    ...['datapath', 'datapath/tun', 'datapath/ebpf', 'subnet', 'operate', 'underlay', 'firewall', 'state'],
  ],
  'main.ts': [
    ...['abort.ts', 'errors.ts', 'log.ts', 'version.ts', 'options.ts', 'flag-help.ts', 'flanneld.ts'],
    ...['command-table.ts', 'flag-table.ts', 'flag-report.ts', 'completion', 'man-page.ts'],
    ...['subnet', 'operate'],
  ],
};

/** Rooms that stay pure: what they import of these is erased by the compiler. */
const TYPES_ONLY: Readonly<Record<string, readonly string[]>> = { backend: ['state', 'datapath', 'underlay'] };

/** What decides without doing: nothing that it reaches makes a system call, talks to the kernel or runs a program. */
const PURE = [
  ...['backend/', 'state/diff', 'state/compare-', 'state/desired.ts', 'firewall/rules.ts'],
  ...['subnet/allocate.ts', 'subnet/table.ts', 'subnet/etcd/decide.ts', 'underlay/select.ts'],
  ...['echo', 'judge', 'limits', 'path-search', 'table'].map((name) => `operate/reach/${name}.ts`),
].map((file) => `daemon/src/${file}`);
const EDGES = ['packages/linux/src/ffi/', 'packages/nft/src/run.ts', 'packages/rtnetlink/src/connection.ts'];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const files = SOURCES.flatMap((folder) => sourcesIn(folder));
const imports = files.flatMap((file) => importsOf(file, readFileSync(path.join(ROOT, file), 'utf8')));

const show = (found: readonly Import[]) => found.map(({ from, to }) => `${from} imports ${to}`);
const isTest = (file: string) => /\.test\.(ts|mjs)$/.test(file) || file.startsWith('tests/');
/** Read by tests alone. */
const isTestCode = (file: string) => isTest(file) || file.split('/').includes('testing');
/** What builds a wing is a tool. */
const wingOf = (file: string) =>
  WINGS.find((wing) => file.startsWith(`${wing}/`) && !file.startsWith(`${wing}/build/`));

test('the sources are read', () => {
  const edges = new Set(show(imports));
  expect(edges).toContain('daemon/src/flanneld.ts imports daemon/src/network.ts');
  expect(edges).toContain('daemon/src/state/kernel-routes.ts imports packages/rtnetlink/src/route.ts');
});

test('wings do not import each other', () => {
  const crossing = imports.filter(({ from, to }) => {
    const [a, b] = [wingOf(from), wingOf(to)];
    return a !== undefined && b !== undefined && a !== b;
  });
  expect(show(crossing)).toEqual([]);
});

test('packages import packages only', () => {
  const upwards = imports.filter(({ from, to }) => from.startsWith('packages/') && !to.startsWith('packages/'));
  expect(show(upwards)).toEqual([]);
});

test('production code does not import test code', () => {
  const production = imports.filter(({ from }) => !isTestCode(from) && !from.startsWith('tools/'));
  expect(show(production.filter(({ to }) => isTestCode(to)))).toEqual([]);
});

test('tools are TypeScript, but for what runs before TypeScript can be loaded', () => {
  // One file for the pods of a stack, which have nothing but a runtime, and one for the shell, which waits for it at a key.
  const early = new Set(['tools/run.mjs', 'tools/ci/conformance/probe.mjs', 'tools/completion/complete.mjs']);
  for (const file of early) {
    for (const { from, to } of imports) if (from === file && to.endsWith('.mjs')) early.add(to);
  }
  const others = files.filter((file) => file.startsWith('tools/') && file.endsWith('.mjs') && !early.has(file));
  expect(others).toEqual([]);
});

test('no file imports itself by way of others', () => {
  expect(circlesOf(imports).filter((circle) => !circle.some((file) => KNOWN_CIRCLES.includes(file)))).toEqual([]);
});

describe('rooms of the daemon', () => {
  const inside = imports
    .filter(({ from, to }) => from.startsWith('daemon/src/') && to.startsWith('daemon/src/') && !isTest(from))
    .map((edge) => ({ ...edge, a: roomOf(edge.from), b: roomOf(edge.to) }));

  test('each file is in a room', () => {
    const homeless = files.filter((file) => file.startsWith('daemon/src/') && !isTest(file)).filter((f) => !roomOf(f));
    expect(homeless).toEqual([]);
  });

  test('rooms import only those that the table allows', () => {
    expect(show(inside.filter(({ a, b }) => a !== b && !ROOMS[a!]!.includes(b!)))).toEqual([]);
  });

  test('pure rooms import only types of other rooms', () => {
    const values = inside.filter(({ a, b, typeOnly }) => a !== b && TYPES_ONLY[a!]?.includes(b!) && !typeOnly);
    expect(show(values)).toEqual([]);
  });
});

test('pure files reach no system call, no netlink socket and no program', () => {
  const pure = files.filter((file) => PURE.some((start) => file.startsWith(start)) && !isTest(file));
  expect(pure.length).toBeGreaterThan(PURE.length);
  const impure = pure.flatMap((file) => {
    const found = reachedFrom(file).filter((reached) => EDGES.some((edge) => reached.startsWith(edge)));
    return found.map((reached) => `${file} reaches ${reached}`);
  });
  expect(impure).toEqual([]);
});

test('circlesOf() finds a circle of three, and none in a diamond', () => {
  const edge = (text: string): Import => ({ from: text[0]!, to: text[1]!, typeOnly: false });
  expect(circlesOf(['ab', 'bc', 'ca', 'cd'].map(edge)).map((circle) => [...circle].sort())).toEqual([['a', 'b', 'c']]);
  expect(circlesOf(['ab', 'ac', 'bd', 'cd'].map(edge))).toEqual([]);
});

function sourcesIn(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ['node_modules', 'dist', 'assembly'].includes(entry.name) ? [] : sourcesIn(name);
    return /\.(ts|mjs)$/.test(name) ? [name] : [];
  });
}

function importsOf(from: string, text: string): Import[] {
  const found: Import[] = [];
  const statement =
    /(?:^|\n)\s*(?:import|export)\s+(type\s)?(?:[\w*\s{},$]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;
  for (const [, type, named, called] of text.matchAll(statement)) {
    const to = resolve(from, (named ?? called)!);
    if (to !== undefined) found.push({ from, to, typeOnly: type !== undefined });
  }
  return found;
}

/** Undefined for what is not of this repository. */
function resolve(from: string, name: string): string | undefined {
  if (name.startsWith('.')) return withExtension(path.join(path.dirname(from), name));
  const [, workspace, rest] = /^(@flannel-ts\/[\w-]+|tun-tap)\/(.*)$/.exec(name) ?? [];
  if (workspace === undefined) return undefined;
  const short = workspace.replace('@flannel-ts/', '');
  if (short === 'infra') return withExtension(rest === 'host' ? 'infra/local/host' : `infra/${rest}`);
  return withExtension(`${WINGS.includes(short) || short === 'tools' ? short : `packages/${short}`}/src/${rest}`);
}

function withExtension(file: string): string | undefined {
  return [file, `${file}.ts`, `${file}.mjs`].find(
    (name) => /\.(ts|mjs)$/.test(name) && existsSync(path.join(ROOT, name)),
  );
}

function roomOf(file: string): string | undefined {
  const inside = file.replace('daemon/src/', '');
  const fitting = Object.keys(ROOMS).filter((room) => inside === room || inside.startsWith(`${room}/`));
  return fitting.sort((a, b) => b.length - a.length)[0];
}

/** By imports that the compiler does not erase. */
function reachedFrom(start: string): string[] {
  const reached = new Set([start]);
  for (const file of reached)
    for (const { from, to, typeOnly } of imports) if (from === file && !typeOnly) reached.add(to);
  return [...reached];
}

/** Groups of files of which each reaches each (Tarjan 1972). */
function circlesOf(edges: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const numbers = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): void => {
    numbers.set(file, numbers.size);
    lowest.set(file, numbers.get(file)!);
    stack.push(file);
    for (const to of next.get(file) ?? []) {
      if (!numbers.has(to)) visit(to);
      if (stack.includes(to)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(to)!));
    }
    if (lowest.get(file) !== numbers.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1 || next.get(file)?.includes(file)) circles.push(group);
  };
  for (const file of next.keys()) if (!numbers.has(file)) visit(file);
  return circles;
}

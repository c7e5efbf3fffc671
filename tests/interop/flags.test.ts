/** The flags of flannel's flanneld, as it prints them, beside ours. FLANNEL_UPSTREAM names its program. */
import { spawnSync } from 'node:child_process';
import { FLAG_PARITY } from '../../daemon/src/flag-parity.ts';
import { FLAGS } from '../../daemon/src/flag-table.ts';

const THEIRS = process.env.FLANNEL_UPSTREAM;
if (!THEIRS) throw new Error('Set FLANNEL_UPSTREAM to a build of github.com/flannel-io/flannel');

interface Printed {
  /** Go prints none for a boolean. */
  readonly type: string;
  readonly fallback: string;
}

function theirFlags(): Map<string, Printed> {
  const { stderr, status } = spawnSync(THEIRS!, ['-help'], { encoding: 'utf8' });
  expect(status).toBe(0);
  const found = [...stderr.matchAll(/^ {2}-(\S+)(?: (\S+))?\n\s+(.*)$/gm)].map(([, name, type = '', meaning]) => {
    const fallback = /\(default (.*)\)$/.exec(meaning!)?.[1]?.replace(/^"(.*)"$/, '$1') ?? '';
    return [name!, { type, fallback }] as const;
  });
  return new Map(found);
}

const TYPES = { string: 'string', integer: 'int', boolean: '', list: 'value' } as const;

test('every flag of flannel has the same name, kind and default here, and a row that says how it relates', () => {
  const theirs = theirFlags();
  expect(theirs.size).toBeGreaterThan(25);
  for (const [name, { type, fallback }] of theirs) {
    expect(Object.keys(FLAGS)).toContain(name);
    const ours = FLAGS[name as keyof typeof FLAGS];
    expect([name, FLAG_PARITY[name as keyof typeof FLAG_PARITY].is]).not.toEqual([name, 'own']);
    // flag.Value, which klog's flags and the repeatable ones are, says no more of its kind.
    if (type !== 'value') expect([name, TYPES[ours.kind]]).toEqual([name, type]);
    // Go leaves out defaults that are the zero value of the kind.
    const zero = { string: '', integer: '0', boolean: 'false', list: '' }[ours.kind];
    expect([name, ours.fallback]).toEqual([name, fallback === '' ? zero : fallback]);
  }
});

test('a flag that is not said to be our own is one of flannel', () => {
  const theirs = theirFlags();
  const said = Object.entries(FLAG_PARITY).filter(([, { is }]) => is !== 'own');
  const missing = said.map(([name]) => name).filter((name) => !theirs.has(name));
  // Go's flag package has them without a line of their own.
  expect(missing).toEqual(['help', 'h']);
});

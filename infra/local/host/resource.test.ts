import { ABSENT, handler, type Observation, sameValue } from './resource.ts';

const UNKNOWN = '04da6b54-80e4-46f7-96ec-b56ff0331ba9';

interface Inputs {
  readonly name: string;
  readonly size: number;
  readonly hint?: string;
}

/** A resource whose thing is an entry of a map. */
function thing(options: { fail?: boolean; seen?: Observation<{ made: number }> } = {}) {
  const things = new Map<string, number>();
  const resource = handler<Inputs, { made: number }>({
    id: ({ name }) => `thing ${name}`,
    identity: ['name'],
    ignored: ['hint'],
    check: ({ size }) => (size < 0 ? [{ property: 'size', reason: 'Size is negative' }] : []),
    stale: ({ made }) => made === 99,
    async ensure({ name, size }) {
      if (options.fail) throw new Error('No space');
      things.set(name, size);
      return { made: size };
    },
    observe: async ({ name }) => options.seen ?? (things.has(name) ? { present: true } : ABSENT),
    remove: async ({ name }) => void things.delete(name),
  });
  return { resource, things };
}

describe('create()', () => {
  test('returns complete outputs', async () => {
    const { resource } = thing();
    await expect(resource.create({ name: 'a', size: 1, __provider: 'text' })).resolves.toEqual({
      id: 'thing a',
      outs: { name: 'a', size: 1, made: 1, drift: '', __provider: 'text' },
    });
  });

  test('fails with the id and all that a later delete needs', async () => {
    const { resource } = thing({ fail: true });
    await expect(resource.create({ name: 'a', size: 1, __provider: 'text' })).rejects.toMatchObject({
      message: 'No space',
      id: 'thing a',
      reasons: ['No space'],
      properties: { name: 'a', size: 1, drift: 'No space', __provider: 'text' },
    });
  });

  test('may be called again', async () => {
    const { resource, things } = thing();
    await resource.create({ name: 'a', size: 1 });
    await resource.create({ name: 'a', size: 1 });
    expect(things).toEqual(new Map([['a', 1]]));
  });
});

describe('diff()', () => {
  const olds = { name: 'a', size: 1, made: 1, hint: 'x', drift: '', __provider: 'old text' };
  const { resource } = thing();
  const diff = (news: Record<string, unknown>, old: Record<string, unknown> = olds) =>
    resource.diff('thing a', old, news);

  test('sees no change in a new provider text, an ignored input or the order of keys', async () => {
    const news = { hint: 'y', size: 1, name: 'a', __provider: 'new text' };
    await expect(diff(news)).resolves.toMatchObject({ changes: false, replaces: [] });
  });

  test('updates for a changed input, and for one that is not known yet', async () => {
    await expect(diff({ name: 'a', size: 2 })).resolves.toMatchObject({ changes: true, replaces: [] });
    await expect(diff({ name: 'a', size: UNKNOWN })).resolves.toMatchObject({ changes: true, replaces: [] });
  });

  test('replaces another identity, and deletes the old thing first', async () => {
    const expected = { changes: true, replaces: ['name'], deleteBeforeReplace: true };
    await expect(diff({ name: 'b', size: 1 })).resolves.toEqual(expected);
    await expect(diff({ name: UNKNOWN, size: 1 })).resolves.toEqual(expected);
  });

  test('repairs what has drifted or gone stale', async () => {
    await expect(diff({ name: 'a', size: 1 }, { ...olds, drift: 'broken' })).resolves.toMatchObject({ changes: true });
    await expect(diff({ name: 'a', size: 1 }, { ...olds, made: 99 })).resolves.toMatchObject({ changes: true });
  });
});

describe('read()', () => {
  test('returns nothing when the thing has gone', async () => {
    await expect(thing({ seen: ABSENT }).resource.read('thing a', { name: 'a' })).resolves.toEqual({});
  });

  test('keeps all properties and tells drift and new outputs', async () => {
    const seen = { present: true, drift: 'bent', outputs: { made: 3 } } as const;
    await expect(thing({ seen }).resource.read('thing a', { name: 'a', size: 1, made: 1 })).resolves.toEqual({
      id: 'thing a',
      props: { name: 'a', size: 1, made: 3, drift: 'bent' },
    });
  });

  test('forgets a drift that is over', async () => {
    const { props } = await thing({ seen: { present: true } }).resource.read('thing a', { name: 'a', drift: 'bent' });
    expect(props).toEqual({ name: 'a', drift: '' });
  });
});

describe('update(), check() and delete()', () => {
  test('update() returns complete outputs', async () => {
    const { resource } = thing();
    const olds = { name: 'a', size: 1, made: 1, drift: 'bent' };
    await expect(resource.update('thing a', olds, { name: 'a', size: 2 })).resolves.toEqual({
      outs: { name: 'a', size: 2, made: 2, drift: '' },
    });
  });

  test('update() that fails keeps the earlier outputs', async () => {
    const olds = { name: 'a', size: 1, made: 1 };
    await expect(thing({ fail: true }).resource.update('thing a', olds, { name: 'a', size: 2 })).rejects.toMatchObject({
      properties: { name: 'a', size: 2, made: 1, drift: 'No space' },
    });
  });

  test('check() hands the inputs on and tells failures', async () => {
    const { resource } = thing();
    await expect(resource.check({}, { name: 'a', size: -1 })).resolves.toEqual({
      inputs: { name: 'a', size: -1 },
      failures: [{ property: 'size', reason: 'Size is negative' }],
    });
  });

  test('delete() may be called again', async () => {
    const { resource, things } = thing();
    await resource.create({ name: 'a', size: 1 });
    await resource.delete('thing a', { name: 'a' });
    await resource.delete('thing a', { name: 'a' });
    expect(things.size).toBe(0);
  });
});

describe('sameValue()', () => {
  test.each([
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, true],
    [{ a: 1 }, { a: 1, b: undefined }, true],
    [[1, 2], [2, 1], false],
    [[], {}, false],
    [null, undefined, false],
    [{ a: UNKNOWN }, { a: UNKNOWN }, false],
  ])('compares %j and %j', (a, b, same) => expect(sameValue(a, b)).toBe(same));
});

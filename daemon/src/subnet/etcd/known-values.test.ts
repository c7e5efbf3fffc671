import { KnownValues } from './known-values.ts';
import type { RangeEvent } from './watch.ts';

const keyValue = (key: string, value: string) => ({ key, value, modRevision: '1', leaseId: '1' });
const put = (key: string, value: string): RangeEvent => ({ type: 'put', keyValue: keyValue(key, value) });
const remove = (key: string): RangeEvent => ({ type: 'delete', key });
const list = (entries: Record<string, string>): RangeEvent => ({
  type: 'snapshot',
  keyValues: Object.entries(entries).map(([key, value]) => keyValue(key, value)),
});

describe('KnownValues', () => {
  test('passes over a put of the value that is known, and lets another value through', () => {
    const known = new KnownValues();
    known.newsIn([list({ a: '1', b: '2' })]);
    expect(known.newsIn([put('a', '1'), put('b', '3'), put('c', '4'), put('c', '4')])).toEqual([
      put('b', '3'),
      put('c', '4'),
    ]);
    expect(known.toObject()).toEqual({ a: '1', b: '3', c: '4' });
  });

  test('lets a value through that returns after another, or after its key was deleted', () => {
    const known = new KnownValues();
    known.newsIn([list({ a: '1' })]);
    const events = [put('a', '2'), put('a', '1'), remove('a'), remove('a'), put('a', '1')];
    expect(known.newsIn(events)).toEqual([put('a', '2'), put('a', '1'), remove('a'), put('a', '1')]);
  });

  test('lets the first list through, even an empty one, and a later one if it differs', () => {
    const known = new KnownValues();
    expect(known.newsIn([list({})])).toHaveLength(1);
    expect(known.newsIn([list({})])).toEqual([]);
    expect(known.newsIn([list({ a: '1', b: '2' })])).toHaveLength(1);
    expect(known.newsIn([list({ b: '2', a: '1' })])).toEqual([]);
    expect(known.newsIn([list({ a: '1', c: '2' })])).toHaveLength(1);
    expect(known.newsIn([list({ a: '1' })])).toHaveLength(1);
    expect(known.newsIn([put('c', '2')])).toHaveLength(1);
  });
});

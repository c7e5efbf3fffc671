import fc from 'fast-check';
import { expiryOf, expiryTime } from './expiry.ts';

const now = new Date('2030-01-02T03:04:05.678Z');

test('expiryTime() is in whole seconds, so many hours from now', () => {
  expect(expiryTime(now, 4)).toBe('2030-01-02T07:04:05Z');
});

describe('expiryOf()', () => {
  test('believes the tag, and not the last update', () => {
    expect(expiryOf({ ttl: '2030-01-02T03:04:05Z', lastUpdate: '2030-01-02T03:00:00Z' }, now)).toEqual({
      state: 'expired',
      expires: '2030-01-02T03:04:05Z',
    });
    expect(expiryOf({ ttl: '2030-01-02T03:04:06Z', lastUpdate: '2020-01-01T00:00:00Z' }, now).state).toBe('alive');
  });

  test('gives one whose tag is no time a day', () => {
    expect(expiryOf({ ttl: 'soon', lastUpdate: '2030-01-01T04:00:00Z' }, now).state).toBe('alive');
    expect(expiryOf({ ttl: 'soon', lastUpdate: '2030-01-01T03:00:00Z' }, now).state).toBe('expired');
  });

  test("never calls a stack without a tag expired: it may be somebody else's, whatever its name", () => {
    expect(expiryOf({}, now)).toEqual({ state: 'unknown' });
    expect(expiryOf({ lastUpdate: '2020-01-01T00:00:00Z' }, now)).toEqual({ state: 'unknown' });
  });

  test('does not guess where nothing is known', () => {
    expect(expiryOf({ ttl: 'soon' }, now)).toEqual({ state: 'unknown' });
  });

  test('is alive until the time that expiryTime() gave, and expired from then on', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 168 }), fc.integer({ min: 0, max: 200 * 3600 }), (hours, seconds) => {
        const ttl = expiryTime(now, hours);
        const later = new Date(Math.floor(now.getTime() / 1000) * 1000 + seconds * 1000);
        expect(expiryOf({ ttl }, later).state).toBe(seconds < hours * 3600 ? 'alive' : 'expired');
      }),
    );
  });
});

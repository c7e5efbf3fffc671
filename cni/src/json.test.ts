import { booleanField, field, integerField, type JsonObject, newObject, setField, stringField } from './json.ts';

describe('field()', () => {
  test('ignores case, prefers the last, skips null (#15)', () => {
    const object = JSON.parse('{"RuntimeConfig":{"a":1},"runtimeconfig":null}');
    expect(field(object, 'runtimeConfig')).toEqual({ a: 1 });
    expect(field(JSON.parse('{"x":1,"X":2}'), 'x')).toBe(2);
  });

  test('does not find what an object inherits', () => {
    expect(field({} as JsonObject, 'constructor')).toBeUndefined();
    expect(field(JSON.parse('{"__proto__":{"type":"evil"}}'), 'type')).toBeUndefined();
  });
});

test('newObject() keeps __proto__ a plain key', () => {
  const copy = newObject(JSON.parse('{"__proto__":{"isAdmin":true}}'));
  expect((copy as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  expect(JSON.stringify(copy)).toBe('{"__proto__":{"isAdmin":true}}');
});

test('setField() replaces all spellings of a key', () => {
  const object = newObject({ MTU: 1, other: 2 });
  setField(object, 'mtu', 3);
  expect({ ...object }).toEqual({ mtu: 3, other: 2 });
});

test('typed readers name the key and the value', () => {
  expect(() => stringField({ type: 7 }, 'type', 'delegate.type')).toThrow('delegate.type must be a string, not 7');
  expect(() => booleanField({ a: 'true' }, 'a')).toThrow('a must be true or false, not "true"');
  expect(() => integerField({ a: 1.5 }, 'a')).toThrow('a must be an integer, not 1.5');
});

import { field, type JsonObject, newJsonObject, readJsonObject, setField } from './go-json.ts';

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

test('newJsonObject() keeps __proto__ a plain key', () => {
  const copy = newJsonObject(JSON.parse('{"__proto__":{"isAdmin":true}}'));
  expect((copy as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  expect(JSON.stringify(copy)).toBe('{"__proto__":{"isAdmin":true}}');
});

test('setField() replaces all spellings of a key', () => {
  const object = newJsonObject({ MTU: 1, other: 2 });
  setField(object, 'mtu', 3);
  expect({ ...object }).toEqual({ mtu: 3, other: 2 });
});

test.each(['', 'x', '[]', 'null', '7'])('readJsonObject(%j) is nothing', (text) => {
  expect(readJsonObject(text)).toBeUndefined();
  expect(readJsonObject('{"a":1}')).toEqual({ a: 1 });
});

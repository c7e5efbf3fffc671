import * as fc from 'fast-check';
import { parseExactJson, stringifyExactJson } from './exact-json.ts';

const again = (text: string): string => stringifyExactJson(parseExactJson(text));

test('integers above 2^53 come out as they went in', () => {
  const text =
    '{"a":18446744073709551615,"b":[-9007199254740993,1],"c":"18446744073709551615","d":{"e":9007199254740993}}';
  expect(again(text)).toBe(text);
  expect((parseExactJson(text) as { a: unknown }).a).not.toBe(2 ** 64);
});

test('everything else is what JSON.parse() makes of it', () => {
  fc.assert(fc.property(fc.json(), (text) => expect(parseExactJson(text)).toEqual(JSON.parse(text))));
  expect(parseExactJson('{"a":"\\"12345678901234567890","b":1.5e300}')).toEqual({
    a: '"12345678901234567890',
    b: 1.5e300,
  });
  expect(() => parseExactJson('{"a":1234567890123456789')).toThrow(SyntaxError);
});

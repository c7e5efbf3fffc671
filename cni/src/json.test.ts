import { booleanField, integerField, stringField } from './json.ts';

test('typed readers name the key and the value', () => {
  expect(() => stringField({ type: 7 }, 'type', 'delegate.type')).toThrow('delegate.type is 7: write a string');
  expect(() => booleanField({ a: 'true' }, 'a')).toThrow('a is "true": write true or false, without quotes');
  expect(() => integerField({ a: 1.5 }, 'a')).toThrow('a is 1.5: write a whole number, without quotes');
});

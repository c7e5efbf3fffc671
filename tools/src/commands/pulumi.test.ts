import { withStack } from './pulumi.ts';

test.each([
  ['preview', 'preview --stack mine'],
  ['preview --stack other', 'preview --stack other'],
  ['config set nodes 3', 'config set nodes 3 --stack mine'],
  ['stack', 'stack --stack mine'],
  ['stack output --json', 'stack output --json --stack mine'],
  ['stack init', 'stack init mine'],
  ['stack init other --no-select', 'stack init other --no-select'],
  ['stack rm other --yes', 'stack rm other --yes'],
  ['stack rm --yes', 'stack rm --yes mine'],
  ['stack ls', 'stack ls'],
  ['version', 'version'],
  ['previw', 'previw'],
  ['up --help', 'up --help'],
])('"pulumi %s" runs as "pulumi %s"', (words, expected) => {
  expect(withStack(words.split(' '), 'mine').join(' ')).toBe(expected);
});

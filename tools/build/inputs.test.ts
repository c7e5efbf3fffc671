import { join } from 'node:path';
import { removeScratch, scratch, write } from '../testing/setup.ts';
import { hashFiles, listInputs } from './inputs.mjs';

afterEach(removeScratch);

function tree(): string {
  const root = scratch();
  const files = [
    'a/main.ts',
    'a/main.test.ts',
    'a/sub/b.ts',
    'a/fixtures/f.ts',
    'a/node_modules/x.ts',
    'a/dist/y.ts',
    'lock',
  ];
  for (const file of files) write(join(root, file), file);
  return root;
}

test('listInputs() lists sources in a fixed order, without tests and what is built', () => {
  expect(listInputs(tree(), ['lock', 'a', 'missing'])).toEqual(['a/main.ts', 'a/sub/b.ts', 'lock']);
});

test('hashFiles() changes with a name and with a content, and with nothing else', () => {
  const [one, two] = [tree(), tree()];
  const hash = (root: string) => hashFiles(root, listInputs(root, ['a']));
  expect(hash(one)).toBe(hash(two));
  write(join(two, 'a/main.test.ts'), 'changed');
  expect(hash(one)).toBe(hash(two));
  write(join(two, 'a/sub/b.ts'), 'changed');
  expect(hash(one)).not.toBe(hash(two));
  write(join(one, 'a/sub/c.ts'), '');
  expect(hash(one)).not.toBe(hash(two));
});

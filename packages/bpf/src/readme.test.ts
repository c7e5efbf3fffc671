import { readFileSync } from 'node:fs';
import path from 'node:path';

const folder = path.resolve(__dirname, '..');

test('each line of code in the README is in the example, which an integration test runs', () => {
  const readme = readFileSync(path.join(folder, 'README.md'), 'utf8');
  const example = readFileSync(path.join(folder, 'examples/count.ts'), 'utf8');
  const blocks = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
  expect(blocks).toHaveLength(2);
  for (const block of blocks) expect(example).toContain(block);
});

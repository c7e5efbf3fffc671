import { spawnSync } from 'node:child_process';
import { FLAGS } from './flag-table.ts';
import { manPage } from './man-page.ts';

const page = manPage('1.2.3');

test('groff formats it without a warning', () => {
  const { status, stdout, stderr } = spawnSync('groff', ['-man', '-Tascii', '-ww', '-P-cbou'], {
    input: page,
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain('flanneld - network for the pods of a cluster');
  expect(stdout).toContain('flanneld config check FILE');
  expect(stdout).toContain('flanneld 1.2.3');
  for (const name of Object.keys(FLAGS)) expect(stdout).toContain(`-${name}`);
});

test('no line of text is taken for a request', () => {
  const requests = page.split('\n').filter((line) => /^[.']/.test(line));
  expect([...new Set(requests.map((line) => line.split(' ')[0]))].sort()).toEqual(
    ['.B', '.BR', '.I', '.RI', '.SH', '.SS', '.TH', '.TP', '.br'].sort(),
  );
});

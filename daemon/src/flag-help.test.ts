import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { flagsPage, helpText } from './flag-help.ts';
import { ENVIRONMENT_PARITY, FLAG_PARITY, type Parity } from './flag-parity.ts';
import { FLAGS } from './flag-table.ts';

const PAGE = path.resolve(__dirname, '../../docs/flags.md');

test('docs/flags.md is made from the table of flags: write it again with WRITE_DOCS=1 and this test', () => {
  if (process.env.WRITE_DOCS === '1') writeFileSync(PAGE, flagsPage());
  expect(readFileSync(PAGE, 'utf8')).toBe(flagsPage());
});

test('every flag says how it relates to the one of flannel, and refused ones why', () => {
  for (const parity of [...Object.values(FLAG_PARITY), ...Object.values(ENVIRONMENT_PARITY)] as Parity[]) {
    if (parity.is !== 'same' && parity.is !== 'own') expect(parity.note).toBeTruthy();
  }
});

test('-help names every flag and every command', () => {
  const help = helpText();
  for (const name of Object.keys(FLAGS)) expect(help).toContain(`  -${name}\n`);
  expect(help).toMatch(/^Usage: flanneld \[OPTION\]\.\.\. +run the daemon$/m);
  expect(help).toMatch(/^ {7}flanneld cleanup \[OPTION\]\.\.\. /m);
});

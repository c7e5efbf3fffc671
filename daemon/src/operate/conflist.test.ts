import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { installConflist, isOwnConflist, renderConflist } from './conflist.ts';

const DEFAULT = '/run/flannel/subnet.env';
let directory: string;
let file: string;
let lines: string[];
const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).msg) });

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'conflist-'));
  file = path.join(directory, 'net.d', '10-flannel.conflist');
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

test('installConflist() writes a file that runtimes notice, once', () => {
  installConflist(file, DEFAULT, log);
  const before = statSync(file);
  installConflist(file, DEFAULT, log);
  expect(statSync(file).ino).toBe(before.ino);
  expect(before.mode & 0o777).toBe(0o644);
  expect(readdirSync(path.dirname(file))).toEqual(['10-flannel.conflist']);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
    cniVersion: '1.0.0',
    name: 'cbr0',
    plugins: [{ type: 'flannel', capabilities: { portMappings: true, bandwidth: true } }],
  });
  expect(lines).toEqual(['Wrote the CNI configuration: container runtimes may start pods']);
  expect(isOwnConflist(file, DEFAULT)).toBe(true);
});

test('installConflist() leaves what somebody else wrote, and it is not ours to remove', () => {
  mkdirSync(path.dirname(file));
  writeFileSync(file, '{"name":"theirs"}');
  installConflist(file, DEFAULT, log);
  expect(readFileSync(file, 'utf8')).toBe('{"name":"theirs"}');
  expect(lines).toEqual(['The CNI configuration is not ours, and stays as it is']);
  expect(isOwnConflist(file, DEFAULT)).toBe(false);
  expect(isOwnConflist(path.join(directory, 'none'), DEFAULT)).toBe(false);
});

test('installConflist() says when it cannot write, and flanneld goes on', () => {
  writeFileSync(path.join(directory, 'net.d'), '');
  installConflist(file, DEFAULT, log);
  expect(lines).toEqual([expect.stringMatching(/^Container runtimes do not find the CNI plugin: cannot write /)]);
});

test('renderConflist() names another subnet file', () => {
  expect(JSON.parse(renderConflist('/run/a.env')).plugins[0].subnetFile).toBe('/run/a.env');
  expect(renderConflist(DEFAULT)).not.toContain('subnetFile');
});

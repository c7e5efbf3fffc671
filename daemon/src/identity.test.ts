import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseMac } from '@flannel-ts/inet/mac';
import { pino } from 'pino';
import { openIdentity } from './identity.ts';

let folder: string;
let file: string;
let lines: string[];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'identity-'));
  file = path.join(folder, 'sub', 'identity.json');
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (existing?: string) =>
  openIdentity(
    file,
    () => (existing === undefined ? undefined : parseMac(existing)),
    pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }),
  );

test('a MAC address is made once, and is the same after a restart', () => {
  const mac = open().mac('flannel.1');
  expect(mac).toMatch(/^.[26ae](:[0-9a-f]{2}){5}$/);
  expect(open().mac('flannel.1')).toBe(mac);
  expect(open().mac('flannel-v6.1')).not.toBe(mac);
  expect(open().mac('flannel.1')).toBe(mac);
});

test('the MAC address of a device that is there is taken over, unless another one was kept', () => {
  expect(open('0a:00:00:00:00:01').mac('flannel.1')).toBe('0a:00:00:00:00:01');
  expect(open('0a:00:00:00:00:02').mac('flannel.1')).toBe('0a:00:00:00:00:01');
});

test('the key is kept, in a file for root alone', () => {
  const key = open().wireguardKey();
  expect(Buffer.from(key, 'base64')).toHaveLength(32);
  expect(open().wireguardKey()).toBe(key);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('a file that says nothing is replaced, and its text is in no log', () => {
  open().wireguardKey();
  const key = JSON.parse(readFileSync(file, 'utf8')).wireguardKey;
  writeFileSync(file, `{"wireguardKey":"${key}"`);
  const made = open().wireguardKey();
  expect(made).not.toBe(key);
  expect(lines.join()).toContain('Cannot read this node');
  expect(lines.join()).not.toContain(key);
});

test('a folder that cannot be written costs a word, and the identity holds for this process', () => {
  writeFileSync(path.join(folder, 'sub'), '');
  const identity = open();
  expect(identity.mac('flannel.1')).toBe(identity.mac('flannel.1'));
  expect(lines.join()).toContain('after the next reboot');
});

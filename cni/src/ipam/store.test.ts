import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatIp, type Ip, parseIp } from '@flannel-ts/inet/ip';
import { closeFd, flock, LOCK_EX, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import { candidates, parseRange } from './allocate.ts';
import { Store } from './store.ts';

const OWNER = { containerId: 'c1', ifName: 'eth0' };
const OTHER = { containerId: 'c2', ifName: 'eth0' };
const ip = (text: string): Ip => parseIp(text);

describe('Store', () => {
  let root: string;
  let store: Store;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'fltest-store-'));
    store = new Store(join(root, 'networks/cbr0'), undefined, 60);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  test('exists() when its directory does, and not when a file has its name', () => {
    expect(store.exists()).toBe(false);
    store.locked(() => store.reserve(ip('10.1.0.2'), OWNER));
    expect(store.exists()).toBe(true);
    expect(new Store(join(root, 'networks/cbr0/10.1.0.2')).exists()).toBe(false);
  });

  const put = (name: string, content: string): void => writeFileSync(join(store.directory, name), content);
  const content = (name: string): string => readFileSync(join(store.directory, name), 'utf8');

  test('writes what host-local writes, with its modes', () => {
    store.locked(() => {
      expect(store.reserve(ip('10.1.2.3'), OWNER)).toBe(true);
      expect(store.reserve(ip('fd00::5'), OWNER)).toBe(true);
      store.setLastReserved(0, ip('10.1.2.3'));
    });
    expect(readdirSync(store.directory).sort()).toEqual(['10.1.2.3', 'fd00::5', 'last_reserved_ip.0', 'lock']);
    expect(content('10.1.2.3')).toBe('c1\r\neth0');
    expect(content('last_reserved_ip.0')).toBe('10.1.2.3');
    expect(statSync(join(store.directory, '10.1.2.3')).mode & 0o777).toBe(0o600);
    expect(statSync(store.directory).mode & 0o777).toBe(0o755);
  });

  test('refuses an address that is taken and releases only its own', () => {
    store.locked(() => {
      store.reserve(ip('10.1.2.3'), OWNER);
      expect(store.reserve(ip('10.1.2.3'), OTHER)).toBe(false);
      expect(store.release(ip('10.1.2.3'), OTHER)).toBe(false);
      expect(store.release(ip('10.1.2.4'), OWNER)).toBe(false);
      expect(store.release(ip('10.1.2.3'), OWNER)).toBe(true);
    });
    expect(readdirSync(store.directory)).toEqual(['lock']);
  });

  test('takes over empty and zeroed files (#41)', () => {
    store.locked(() => undefined);
    put('10.1.2.3', '');
    put('10.1.2.4', '\0\0\0\0');
    store.locked(() => {
      expect(store.reserve(ip('10.1.2.3'), OWNER)).toBe(true);
      expect(store.reserve(ip('10.1.2.4'), OWNER)).toBe(true);
    });
    expect(content('10.1.2.3')).toBe('c1\r\neth0');
  });

  test('finds an owner whatever white space surrounds it, and removes empty files', () => {
    store.locked(() => undefined);
    put('10.1.2.3', 'c1\r\neth0\n');
    put('10.1.2.4', 'c1\r\nnet1');
    put('10.1.2.5', '');
    put('10.1.2.6', 'c1');
    put('notes.txt', 'c1\r\neth0');
    expect(store.locked(() => store.find(OWNER)).map(formatIp)).toEqual(['10.1.2.3']);
    expect(readdirSync(store.directory)).not.toContain('10.1.2.5');
  });

  test('falls back to the format before 0.8, the container ID alone', () => {
    store.locked(() => undefined);
    put('10.1.2.6', 'c1');
    expect(store.locked(() => store.find(OWNER)).map(formatIp)).toEqual(['10.1.2.6']);
    expect(store.locked(() => store.release(ip('10.1.2.6'), OWNER))).toBe(true);
  });

  test.each([
    ['nothing', ''],
    ['nonsense', 'x\0y'],
    ['half an address', '10.1.'],
  ])('reads a last address that is %s as none (#30)', (_what, text) => {
    store.locked(() => undefined);
    put('last_reserved_ip.0', text);
    expect(store.lastReserved(0)).toBeUndefined();
    expect(store.lastReserved(1)).toBeUndefined();
  });

  test('finds the one free address of a full range, then an empty file, then none (#29)', () => {
    const set = [parseRange({ subnet: '10.1.2.0/26' })];
    const take = (): string | undefined =>
      store.locked(() => {
        const found = store.reserveFirst(candidates(set, store.lastReserved(0)), OWNER);
        if (found !== undefined) store.setLastReserved(0, found.ip);
        return found && formatIp(found.ip);
      });
    for (let i = 2; i <= 62; i++) expect(take()).toBe(`10.1.2.${i}`);
    expect(take()).toBeUndefined();
    unlinkSync(join(store.directory, '10.1.2.40'));
    expect(take()).toBe('10.1.2.40');
    put('10.1.2.39', '');
    expect(take()).toBe('10.1.2.39');
    expect(take()).toBeUndefined();
  });

  test('gives up with code 11 when the lock stays held (#43)', () => {
    store.locked(() => undefined);
    const fd = openFile(join(store.directory, 'lock'), O_RDONLY);
    flock(fd, LOCK_EX);
    try {
      expect(() => store.locked(() => undefined)).toThrow(expect.objectContaining({ code: 11 }));
    } finally {
      closeFd(fd);
    }
    expect(store.locked(() => 'free')).toBe('free');
  });

  test('frees the lock when the work throws', () => {
    expect(() =>
      store.locked(() => {
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(store.locked(() => 1)).toBe(1);
  });

  test('does not treat a directory in the place of an address as a free address', () => {
    store.locked(() => undefined);
    mkdirSync(join(store.directory, '10.1.2.3'));
    expect(store.locked(() => store.reserve(ip('10.1.2.3'), OWNER))).toBe(false);
    expect(store.locked(() => store.find(OWNER))).toEqual([]);
  });
});

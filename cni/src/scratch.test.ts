import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ScratchFiles } from './scratch.ts';

describe('ScratchFiles', () => {
  let directory: string;
  let dataDir: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fltest-scratch-'));
    dataDir = join(directory, 'a/b');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('makes its directory for root alone, and reads back what it wrote', () => {
    const files = new ScratchFiles(dataDir, 'c1', 'eth0');
    expect(files.exists()).toBe(false);
    expect(files.read()).toBeUndefined();
    files.write({ type: 'bridge' });
    expect(files.exists()).toBe(true);
    expect(files.read()).toEqual({ path: join(dataDir, 'c1:eth0'), conf: { type: 'bridge' } });
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(files.path).mode & 0o777).toBe(0o600);
    files.remove();
    files.remove();
    expect(files.exists()).toBe(false);
  });

  test('prefers its own file to upstream’s, which it finds too', () => {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(join(dataDir, 'c1'), '{"type":"upstream"}');
    const files = new ScratchFiles(dataDir, 'c1', 'eth0');
    expect(files.exists()).toBe(true);
    expect(files.read()?.conf).toEqual({ type: 'upstream' });
    files.write({ type: 'ours' });
    expect(files.read()?.conf).toEqual({ type: 'ours' });
    expect(new ScratchFiles(dataDir, 'c1', 'net1').read()?.conf).toEqual({ type: 'upstream' });
  });

  test.each(['', '{"type":', '[]', 'null'])('treats a file that holds %j as damaged', (text) => {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(join(dataDir, 'c1:eth0'), text);
    expect(new ScratchFiles(dataDir, 'c1', 'eth0').read()).toMatchObject({ conf: undefined });
  });

  test('refuses a container ID for which no file can be named, at ADD alone', () => {
    const files = new ScratchFiles(dataDir, 'x'.repeat(300), 'eth0');
    expect(() => files.write({})).toThrow(expect.objectContaining({ code: 4 }));
    expect(files.exists()).toBe(false);
    expect(files.read()).toBeUndefined();
  });
});

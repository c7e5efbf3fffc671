import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { pino } from 'pino';
import { keepSubnetFile, readPreviousSubnets, writeSubnetFile } from './subnet-file.ts';

const log = pino({ level: 'silent' });
const TEXT = 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n';
let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'fltest-subnet-'));
  file = path.join(directory, 'run', 'subnet.env');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('writeSubnetFile() makes the directory, mode 0644 whatever the umask, and leaves nothing else', () => {
  const umask = process.umask(0o077);
  try {
    writeSubnetFile(file, TEXT);
  } finally {
    process.umask(umask);
  }
  expect(readFileSync(file, 'utf8')).toBe(TEXT);
  expect(statSync(file).mode & 0o777).toBe(0o644);
  expect(readdirSync(path.dirname(file))).toEqual(['subnet.env']);
});

test('readPreviousSubnets() gives the subnets, and undefined for no file or a bad one', () => {
  expect(readPreviousSubnets(file, log)).toBeUndefined();
  writeSubnetFile(file, TEXT);
  expect(readPreviousSubnets(file, log)).toEqual({ subnet: parsePrefix('10.5.72.0/24') });
  writeSubnetFile(file, `FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\n${TEXT}`);
  expect(readPreviousSubnets(file, log)).toEqual({
    subnet: parsePrefix('10.5.72.0/24'),
    ipv6Subnet: parsePrefix('fd00:0:0:7::/64'),
  });
  writeSubnetFile(file, 'FLANNEL_SUBNET=nonsense\n');
  expect(readPreviousSubnets(file, log)).toBeUndefined();
});

test('keepSubnetFile() writes the file again when it is removed or changed, and reports trouble', async () => {
  const controller = new AbortController();
  const reports: (string | undefined)[] = [];
  let onReport = () => {};
  const report = (trouble: string | undefined) => {
    reports.push(trouble);
    onReport();
  };
  const until = async (condition: () => boolean) => {
    while (!condition())
      await new Promise<void>((resolve) => {
        onReport = resolve;
      });
  };
  const keeping = keepSubnetFile(file, () => TEXT, report, log, controller.signal, 5);
  await until(() => reports.length > 0);
  rmSync(file);
  await until(() => exists(file));
  writeFileSync(file, 'other');
  await until(() => readFileSync(file, 'utf8') === TEXT);
  // A file in the place of the directory: root may write anywhere else.
  rmSync(path.dirname(file), { recursive: true });
  writeFileSync(path.dirname(file), '');
  await until(() => reports.at(-1) !== undefined);
  expect(reports.at(-1)).toContain(path.dirname(file));
  rmSync(path.dirname(file));
  await until(() => reports.at(-1) === undefined && exists(file));
  controller.abort();
  await keeping;
});

function exists(name: string): boolean {
  try {
    return statSync(name).isFile();
  } catch {
    return false;
  }
}

/** The machines of the other tests themselves: what they tell of user-data is worth as much as they resemble EC2's. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetns } from '@flannel-ts/linux/netns';
import { allow } from '../../infra/aws/policy.ts';
import { cgroupHierarchy } from './support/cgroups.ts';
import { Lab, SERVICES_URL } from './support/lab.ts';
import type { Machine } from './support/machine.ts';
import { sh } from './support/process.ts';
import { Volume } from './support/volume.ts';

jest.setTimeout(300_000); // the root file system may have to be made

const ZONE = { name: 'eu-central-1a', gateway: '10.64.0.1/24' };
const USER_DATA = `#cloud-config
write_files:
  - path: /etc/greeting
    content: hello
runcmd:
  - [sh, -c, 'echo once >> /var/lib/ran']
`;

let lab: Lab;
let machine: Machine;
let volume: Volume;

beforeAll(async () => {
  lab = await Lab.create([ZONE]);
  const credentials = lab.services.addRole('reader', [
    allow('Objects', ['s3:GetObject'], ['arn:aws:s3:::bucket/public/*']),
    allow('Names', ['s3:ListBucket'], ['arn:aws:s3:::bucket']),
    allow('Parameters', ['ssm:GetParameter'], ['arn:aws:ssm:*:*:parameter/public/*']),
  ]);
  volume = lab.volume('data', 64);
  const place = { zone: ZONE, address: '10.64.0.10' };
  machine = lab.instance({
    name: 'm',
    ...place,
    role: 'reader',
    credentials,
    userData: USER_DATA,
    disks: [volume.as('sdf')],
  });
  await machine.boot();
});

afterAll(() => lab?.destroy());

test('Machine.boot() ends with a systemd that runs, and user-data that was carried out', async () => {
  expect(await machine.failedUnits()).toEqual([]);
  expect(await machine.state()).toBe('running');
  expect(await machine.exec('cat', '/etc/greeting', '/var/lib/ran')).toBe('helloonce\n');
  expect(await machine.exec('cloud-init', 'query', 'v1.region')).toBe('eu-central-1\n');
  expect(await machine.exec('cloud-init', 'schema', '--system')).toContain('Valid cloud-config');
});

test('metadataService() answers nobody without a token', async () => {
  const ask = ['curl', '--silent', '--output', '/dev/null', '--write-out', '%{http_code}'];
  const url = 'http://169.254.169.254/latest/user-data';
  expect(await machine.exec(...ask, url)).toBe('401');
  expect(await machine.exec(...ask, '--header', 'X-aws-ec2-metadata-token: guessed', url)).toBe('401');
});

test('Services give a role what it may have, and nothing else', async () => {
  lab.services.objects.set('bucket/public/file', Buffer.from('content'));
  lab.services.objects.set('bucket/private/file', Buffer.from('content'));
  lab.services.parameters.set('/public/parameter', { type: 'SecureString', value: 'value' });
  lab.services.parameters.set('/private/parameter', { type: 'SecureString', value: 'value' });
  const aws = (...args: string[]) =>
    machine.run('aws', '--region', 'eu-central-1', '--endpoint-url', SERVICES_URL, ...args);
  const object = (key: string) => aws('s3api', 'get-object', '--bucket', 'bucket', '--key', key, '/tmp/file');
  const parameter = (name: string) => aws('ssm', 'get-parameter', '--with-decryption', '--name', name);
  expect((await object('public/file')).code).toBe(0);
  expect((await object('private/file')).stderr).toContain('AccessDenied');
  expect((await object('public/other')).stderr).toContain('NoSuchKey');
  expect((await parameter('/public/parameter')).stdout).toContain('"Value": "value"');
  expect((await parameter('/private/parameter')).stderr).toContain('AccessDenied');
});

test('Machine.reboot() keeps the disks and nothing of the network', async () => {
  await machine.exec(
    'sh',
    '-c',
    'mkfs.ext4 -q /dev/sdf && mkdir /mnt/data && mount /dev/sdf /mnt/data && echo x >/mnt/data/y',
  );
  await machine.exec('ip', 'link', 'add', 'br7', 'type', 'bridge');
  await machine.reboot();
  expect(await machine.exec('cat', '/var/lib/ran')).toBe('once\n');
  expect(await machine.exec('sh', '-c', 'mount /dev/sdf /mnt/data && cat /mnt/data/y')).toBe('x\n');
  expect((await machine.run('ip', 'link', 'show', 'br7')).code).not.toBe(0);
});

test('Lab.destroy() leaves nothing behind', async () => {
  const before = traces(lab.id);
  expect(before).not.toEqual([]);
  await lab.destroy();
  expect(traces(lab.id)).toEqual([]);
});

test('sweep() removes what a killed run has left, and nothing of those that live', async () => {
  const dead = `fltest-${await pidOfNobody()}-boot0`;
  const directory = mkdtempSync(join(tmpdir(), `${dead}-`));
  Volume.create(join(directory, 'left.img'), 1);
  createNetns(`/run/netns/${dead}-vpc`);
  mkdirSync(join(cgroupHierarchy(), `${dead}-m-0`, 'system.slice'), { recursive: true });
  const other = await Lab.create([ZONE]);
  try {
    expect(traces(dead)).toEqual([]);
    expect(traces(other.id)).not.toEqual([]);
  } finally {
    await other.destroy();
  }
});

async function pidOfNobody(): Promise<number> {
  const child = spawn('true');
  await new Promise((resolve) => child.once('close', resolve));
  return child.pid!;
}

/** Namespaces, control groups, mounts, loop devices and directories of a lab. */
function traces(id: string): string[] {
  const folders = ['/run/netns', tmpdir(), cgroupHierarchy()];
  return [
    ...folders.flatMap((folder) => readdirSync(folder)).filter((name) => name.startsWith(id)),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(id)),
    ...sh('losetup', '--all')
      .split('\n')
      .filter((line) => line.includes(id)),
  ];
}

/**
 * `pulumi up` of the stack `ci` by the real CLI against the test double of AWS, and then the machines that it has asked for
 * boot: with its user-data, its parameters and certificates, its objects, its roles' policies, its addresses and volumes.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readArtifact } from '../../infra/node/artifact.ts';
import { makeEtcdArtifact } from '../../tools/build/etcd.ts';
import type { StateResource } from '../aws/support/project.ts';
import { DoubleStack } from '../aws/support/stack.ts';
import { Account } from './support/account.ts';
import type { Machine } from './support/machine.ts';
import { Pod, untilReady } from './support/pods.ts';

jest.setTimeout(300_000);

const ROOT = join(__dirname, '../..');
const NAME = 'ci';

let directory: string;
let stack: DoubleStack;
let account: Account;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), `fltest-${process.pid}-pulumi-`));
  const etcdArtifact = join(directory, 'etcd');
  await makeEtcdArtifact(ROOT, { output: etcdArtifact }, process.env);
  stack = await DoubleStack.start(NAME);
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  await stack.project.configure(NAME, { artifact: join(ROOT, 'dist'), etcdArtifact, architecture });
  await stack.project.up(NAME);
  account = await Account.create(NAME, await resources());
});

afterAll(async () => {
  await account?.lab.destroy();
  await stack?.stop();
  rmSync(directory, { recursive: true, force: true });
});

test('the machines of a stack boot, and pods of its nodes talk', async () => {
  const machines = [...account.machines.values()];
  expect([...account.machines.keys()].sort()).toEqual(['etcd-etcd-0', 'node-0', 'node-1']);
  await Promise.all(machines.map((machine) => machine.boot()));
  for (const machine of machines) expect([machine.id, await machine.failedUnits()]).toEqual([machine.id, []]);
  expect(await problems()).toEqual([]);
  expect(account.lab.services.calls.filter(({ allowed }) => !allowed)).toEqual([]);
});

test('another artifact comes to nodes by their replacement, and etcd goes on', async () => {
  const artifact = anotherArtifact();
  await stack.project.configure(NAME, { artifact: artifact.directory });
  await stack.project.up(NAME);
  expect(await account.follow(await resources())).toEqual(['node-0', 'node-1']);
  await Promise.all(nodes().map((node) => node.boot()));
  expect(await problems()).toEqual([]);
  const installed = await Promise.all(nodes().map((node) => node.exec('readlink', '/opt/flannel/current')));
  expect(installed).toEqual([`${artifact.sha256}\n`, `${artifact.sha256}\n`]);
});

async function resources(): Promise<readonly StateResource[]> {
  return (await stack.project.state(NAME, '--show-secrets')).deployment.resources ?? [];
}

function nodes(): Machine[] {
  return ['node-0', 'node-1'].map((name) => account.machines.get(name)!);
}

/** Of a new pod on each node with the other. */
async function problems(): Promise<string[]> {
  await Promise.all(nodes().map(untilReady));
  const [one, two] = await Promise.all(nodes().map((node, i) => Pod.create(node, `pod-${i}`)));
  return one!.problemsWith(two!);
}

/** As the build leaves it; unpacked it is the same (a further gzip member of nothing: RFC 1952, 2.2). */
function anotherArtifact(): { readonly directory: string; readonly sha256: string } {
  const { version, file, source } = readArtifact(join(ROOT, 'dist'));
  const bytes = Buffer.concat([readFileSync(source), gzipSync('')]);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const made = join(directory, 'flannel');
  mkdirSync(made);
  writeFileSync(join(made, file), bytes);
  writeFileSync(join(made, 'manifest.json'), JSON.stringify({ version, artifact: { file, sha256 } }));
  return { directory: made, sha256 };
}

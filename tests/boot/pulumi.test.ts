/**
 * `pulumi up` of the stack `ci` by the real CLI against the test double of AWS, and then the machines that it has asked for
 * boot: with its user-data, its parameters and certificates, its objects, its roles' policies, its addresses and volumes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeEtcdArtifact } from '../../tools/build/etcd.mjs';
import { Stack } from '../aws/support/stack.ts';
import { Account } from './support/account.ts';
import { Pod, untilReady } from './support/pods.ts';

jest.setTimeout(300_000);

const ROOT = join(__dirname, '../..');
const NAME = 'ci';

let directory: string;
let stack: Stack;
let account: Account;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), `fltest-${process.pid}-pulumi-`));
  const etcdArtifact = join(directory, 'etcd');
  await makeEtcdArtifact(ROOT, { output: etcdArtifact }, process.env);
  stack = await Stack.start(NAME);
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  await stack.project.configure(NAME, { artifact: join(ROOT, 'dist'), etcdArtifact, architecture });
  await stack.project.up(NAME);
  const { deployment } = await stack.project.state(NAME, '--show-secrets');
  account = await Account.create(NAME, deployment.resources ?? []);
});

afterAll(async () => {
  await account?.lab.destroy();
  await stack?.stop();
  rmSync(directory, { recursive: true, force: true });
});

test('the machines of a stack boot, and pods of its nodes talk', async () => {
  const machines = [...account.machines.values()];
  await Promise.all(machines.map((machine) => machine.boot()));
  expect(account.lab.services.calls.filter(({ allowed }) => !allowed)).toEqual([]);
  const nodes = [...account.machines].flatMap(([name, machine]) => (name.startsWith('node') ? [machine] : []));
  expect([machines.length, nodes.length]).toEqual([3, 2]);
  await Promise.all(nodes.map(untilReady));
  for (const machine of machines) expect([machine.id, await machine.failedUnits()]).toEqual([machine.id, []]);
  const pods = await Promise.all(nodes.map((node, i) => Pod.create(node, `pod-${i}`)));
  expect(await pods[0]!.problemsWith(pods[1]!)).toEqual([]);
});

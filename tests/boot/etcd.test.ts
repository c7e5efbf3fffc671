/** Three members of etcd in three zones boot with the user-data of the stack. Each test goes on where the one before ended. */
import { Lab, type Zone } from './support/lab.ts';
import type { Machine } from './support/machine.ts';
import { until } from './support/process.ts';
import { BootedStack, dataDevice, type Place } from './support/stack.ts';
import type { Volume } from './support/volume.ts';

jest.setTimeout(300_000);

const ZONES: readonly Zone[] = [0, 1, 2].map((i) => ({ name: `eu-central-1${'abc'[i]}`, gateway: `10.64.${i}.1/28` }));
const PLACES: readonly Place[] = ZONES.map((zone, i) => ({ name: `etcd-${i}`, zone, address: `10.64.${i}.4` }));
const FLANNEL_ETCD = '/opt/etcd/current/flannel-etcd';

let lab: Lab;
let stack: BootedStack;
let volumes: Volume[];
let members: Machine[];

beforeAll(async () => {
  lab = await Lab.create(ZONES);
  stack = await BootedStack.create(lab, { name: 'three', members: PLACES, network: '{"Network":"10.244.0.0/16"}' });
  volumes = PLACES.map(({ name }) => lab.volume(name, 512));
  // A volume is attached when its machine is there already.
  members = PLACES.map((place) => stack.member(place));
});

afterAll(() => lab?.destroy());

test('members found a cluster when their volumes come', async () => {
  await Promise.all(members.map((member) => member.switchOn()));
  await Promise.all(members.map((member, i) => member.attach(dataDevice(volumes[i]!))));
  await Promise.all(members.map(untilHealthy));
  await Promise.all(members.map((member) => member.untilBooted()));
  for (const member of members) expect(await member.failedUnits()).toEqual([]);
  expect(await memberIds()).toHaveLength(3);
  await until('the network is there', async () =>
    (await ctl(1, 'get', '/coreos.com/network/config')).includes('10.244'),
  );
  expect(lab.services.calls.filter(({ allowed }) => !allowed)).toEqual([]);
});

test('a member whose machine is replaced is the same one', async () => {
  const before = await memberIds();
  await members[1]!.shutDown();
  await lab.terminate(members[1]!);
  await ctl(0, 'put', '/while/away', 'x'); // two of three go on
  members[1] = stack.member(PLACES[1]!, volumes[1]);
  await members[1].boot();
  await untilHealthy(members[1]);
  expect(await memberIds()).toEqual(before);
  expect(await ctl(1, 'get', '--print-value-only', '/while/away')).toBe('x\n');
});

test('a member that has lost its volume joins as another one', async () => {
  const before = await memberIds();
  await members[2]!.cutPower();
  await lab.terminate(members[2]!);
  members[2] = stack.member(PLACES[2]!, lab.volume('blank', 512));
  await members[2].boot();
  await untilHealthy(members[2]);
  const after = await memberIds();
  expect(after).toHaveLength(3);
  expect(after.filter((id) => before.includes(id))).toHaveLength(2);
  expect(await ctl(2, 'get', '--print-value-only', '/while/away')).toBe('x\n');
});

test('a volume that is not a member of this kind is left alone', async () => {
  const foreign = lab.volume('foreign', 64);
  await members[2]!.shutDown();
  await lab.terminate(members[2]!);
  members[2] = stack.member(PLACES[2]!, foreign);
  foreign.write('somebody else keeps this here');
  await members[2].switchOn();
  const refusal = 'neither blank nor labelled';
  await until('it is refused', async () => (await members[2]!.journal()).includes(refusal), { seconds: 90 });
  expect(foreign.read()).toContain('somebody else keeps this here');
  expect((await members[2].run('systemctl', 'is-active', 'etcd')).stdout).toBe('inactive\n');
});

async function untilHealthy(member: Machine): Promise<void> {
  const health = ['curl', '--silent', '--max-time', '5', 'http://127.0.0.1:2381/health'];
  const isHealthy = async () => (await member.run(...health)).stdout.includes('"health":"true"');
  const explain = () => member.journal('-u', 'flannel*', '-u', 'etcd', '--lines=60');
  await until(`etcd on ${member.id} is healthy`, isHealthy, { seconds: 120, explain });
}

function ctl(member: number, ...args: string[]): Promise<string> {
  return members[member]!.exec(FLANNEL_ETCD, 'ctl', ...args);
}

async function memberIds(): Promise<string[]> {
  return (await ctl(0, 'member', 'list'))
    .trim()
    .split('\n')
    .map((line) => line.split(',')[0]!)
    .sort();
}

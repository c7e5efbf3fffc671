import { daemonOf, type ProcessFacts } from './daemons.ts';

const facts = (argv: readonly string[], more: Partial<ProcessFacts> = {}): ProcessFacts => ({
  pid: 7,
  argv,
  environment: {},
  state: 'S',
  ...more,
});

test.each([
  [['/opt/bin/flanneld'], {}, undefined],
  [['flanneld-amd64', '--kube-subnet-mgr'], {}, undefined],
  [['flanneld', '-subnet-file=/run/a.env'], {}, '/run/a.env'],
  [['flanneld', '-ip-masq', '--subnet-file', '/run/b.env'], {}, '/run/b.env'],
  [['flanneld'], { FLANNELD_SUBNET_FILE: '/run/c.env' }, '/run/c.env'],
  [['flanneld', '-subnet-file=/run/d.env'], { FLANNELD_SUBNET_FILE: '/run/c.env' }, '/run/d.env'],
])('%j with %j is a daemon of the subnet file %s', (argv, environment, subnetFile) => {
  expect(daemonOf(facts(argv, { environment }))).toMatchObject({ pid: 7, subnetFile, isStopped: false });
});

test('a command, another program and one that has ended are no daemons', () => {
  expect(daemonOf(facts(['flanneld', 'status']))).toBeUndefined();
  expect(daemonOf(facts(['/bin/flanneld-wrapper.sh']))).toBeUndefined();
  expect(daemonOf(facts(['flanneld'], { state: 'Z' }))).toBeUndefined();
});

test('a stopped one is known by its state', () => {
  expect(daemonOf(facts(['flanneld'], { state: 'T' }))).toMatchObject({ isStopped: true });
});

import { execFileSync } from 'node:child_process';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { RulesetGeneration } from '@flannel-ts/nft/generation';

const PATH = `/run/netns/fltest-${process.pid}-generation`;
const OTHER = `${PATH}-other`;
const nft = (...args: string[]) => execFileSync('nsenter', [`--net=${PATH}`, 'nft', ...args], { stdio: 'pipe' });

let here: RulesetGeneration;
let elsewhere: RulesetGeneration;
beforeAll(() => {
  for (const path of [PATH, OTHER]) createNetns(path);
  here = withNetns(PATH, () => new RulesetGeneration());
  elsewhere = withNetns(OTHER, () => new RulesetGeneration());
});
afterAll(() => {
  here.close();
  elsewhere.close();
  for (const path of [PATH, OTHER]) deleteNetns(path);
});

test('current() stays until somebody changes a rule of this namespace', () => {
  const [before, others] = [here.current(), elsewhere.current()];
  expect(Number.isInteger(before)).toBe(true);
  nft('list', 'ruleset');
  expect(here.current()).toBe(before);
  nft('add', 'table', 'ip', 'somebody');
  const after = here.current();
  expect(after).not.toBe(before);
  nft('flush', 'ruleset');
  expect(here.current()).not.toBe(after);
  expect(elsewhere.current()).toBe(others);
});

import { cpSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import { checkSettings } from './check.ts';
import { applyChanges } from './effective.ts';

const ROOT = join(__dirname, '..', '..', '..');
const NONE = { set: {}, unset: [] };

/** A checkout whose stack "mine" has this file. */
function checkout(stored?: string): string {
  const root = scratch();
  cpSync(join(ROOT, 'Pulumi.yaml'), join(root, 'Pulumi.yaml'));
  write(join(root, 'package.json'), '{}');
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  if (stored !== undefined) write(join(root, 'stacks/Pulumi.mine.yaml'), stored);
  return root;
}

function refusal(stored: string | undefined, changes: Partial<typeof NONE> & { set?: Record<string, string> }) {
  try {
    checkSettings(checkout(stored), 'mine', { ...NONE, ...changes });
  } catch (error) {
    return error as Error & { exitCode: number };
  }
  throw new Error('Nothing was wrong');
}

afterEach(removeScratch);

test.each<[Record<string, string>, string]>([
  [{ nodes: 'three' }, 'nodes is "three": set a whole number from 1 to 250'],
  [{ nodez: '3' }, 'There is no setting "nodez": did you mean "nodes"?'],
  [{ vpcCIDR: '10.64.0.0/19' }, 'There is no setting "vpcCIDR": did you mean "vpcCidr"?'],
  [{ 'backend.Prot': '8285' }, 'There is no setting "backend.Prot" for type udp: did you mean "Port"?'],
  [{ 'Backend.Port': '8285' }, 'There is no setting "Backend": did you mean "backend"?'],
  [{ 'flanel:nodes': '3' }, '--config flanel:nodes: there is no namespace "flanel": leave it out, or use one of '],
  [{ 'nodes.x': '3' }, '--config nodes.x: nodes is no object'],
])('a mistake of this command is wrong usage: %j', (set, sentence) => {
  const error = refusal(undefined, { set });
  expect(error.message).toContain(sentence);
  expect([error.exitCode, error.message.split('\n')]).toEqual([2, [expect.any(String)]]);
});

test.each([
  ['  flannel:nodes: three', 'nodes is "three": set a whole number from 1 to 250; ', 'nodes'],
  ['  flannel:nodez: "3"', 'There is no setting "nodez": did you mean "nodes"?; ', 'nodez'],
  ['  flannel:backend:\n    Type: udp\n    Prot: 8285', 'did you mean "Port"?; ', 'backend.Prot'],
  ['  flanel:nodes: "3"', 'There is no setting "flanel:nodes": ', 'flanel:nodes'],
])('a stored mistake is named with the way out, which works: %s', (line, sentence, key) => {
  const stored = `config:\n${line}\n  flannel:podsPerNode: "1"\n`;
  const { message, exitCode } = refusal(stored, {});
  expect([exitCode, message]).toEqual([1, expect.stringContaining(sentence)]);
  expect(message).toContain(
    `it is stored in stacks/Pulumi.mine.yaml, "npm run up -- --stack mine --unset ${key}" removes it from there`,
  );
  const { effective } = checkSettings(checkout(stored), 'mine', { ...NONE, unset: [key] });
  expect([effective.get('nodes'), effective.get('podsPerNode'), effective.get('backend')]).toEqual([
    '3',
    '1',
    '{"Type":"udp"}',
  ]);
});

test('a right value in the place of a stored wrong one is all that is needed', () => {
  const root = checkout('config:\n  flannel:nodes: three\n');
  expect(checkSettings(root, 'mine', { ...NONE, set: { nodes: '4' } }).effective.get('nodes')).toBe('4');
});

test('a part of an object keeps the rest of it, that of the default as well', () => {
  const set = { 'backend.Port': '8299' };
  expect(checkSettings(checkout(), 'mine', { ...NONE, set }).own.get('backend')).toBe('{"Type":"udp","Port":8299}');
  const stored = checkout('config:\n  flannel:backend:\n    Type: udp\n    Queues: 2\n');
  expect(checkSettings(stored, 'mine', { ...NONE, set }).own.get('backend')).toBe(
    '{"Type":"udp","Queues":2,"Port":8299}',
  );
});

test('another type of backend drops the keys of the one before, and the same type keeps them', () => {
  const stored = checkout('config:\n  flannel:backend:\n    Type: udp\n    Queues: 2\n');
  const backendWith = (set: Record<string, string>) =>
    checkSettings(stored, 'mine', { ...NONE, set }).own.get('backend');
  expect(backendWith({ 'backend.Type': 'udp' })).toBe('{"Type":"udp","Queues":2}');
  const other = refusal('config:\n  flannel:backend:\n    Type: udp\n    Queues: 2\n', {
    set: { 'backend.UDPEncap': 'true', 'backend.Type': 'ipsec' },
  });
  expect(other.message).toContain('ipsec');
  expect(other.message).not.toContain('Queues');
  const set = { 'backend.Port': '4789', 'backend.Type': 'vxlan' };
  expect(applyChanges(new Map(), new Map([['backend', '{"Type":"udp"}']]), { set, unset: [] }).get('backend')).toBe(
    '{"Type":"vxlan","Port":4789}',
  );
});

test('what is not set cannot be unset', () => {
  expect(refusal(undefined, { unset: ['nodes'] as never }).message).toBe(
    '--unset nodes: stacks/Pulumi.mine.yaml does not set it; its default is in force',
  );
  expect(refusal('config:\n  flannel:nodes: "2"\n', { unset: ['nodez'] as never }).message).toBe(
    '--unset nodez: stacks/Pulumi.mine.yaml does not set it; did you mean "nodes"?',
  );
});

test.each(['dev', 'ci', 'prod'])('the committed settings of %s are right', (stack) => {
  const root = checkout();
  write(join(root, `stacks/Pulumi.${stack}.yaml`), readFileSync(join(ROOT, `stacks/Pulumi.${stack}.yaml`), 'utf8'));
  expect(checkSettings(root, stack, NONE).effective.get('environment')).toBe('aws');
});

test('a file that is no YAML is one sentence', () => {
  expect(refusal('config: [', {}).message).toMatch(/stacks\/Pulumi\.mine\.yaml is not valid YAML: /);
});

import { currentContext, hasEntries, withEntries, withoutEntries } from './entries.ts';

const OURS = JSON.stringify({
  clusters: [{ name: 'flannel-a', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'flannel-a', user: { 'client-key-data': 'aw==' } }],
  contexts: [{ name: 'flannel-a', context: { cluster: 'flannel-a', user: 'flannel-a' } }],
  'current-context': 'flannel-a',
});
const OTHERS = `# the company's
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: prod # careful
  cluster:
    server: https://prod.example:6443
    extensions: [{name: x, extension: {a: 007}}]
users:
- name: prod
  user: {token: "0123"}
contexts:
- name: prod
  context: {cluster: prod, user: prod, namespace: "no"}
current-context: prod
`;

test('withEntries() adds a cluster and leaves the current context', () => {
  const text = withEntries(OTHERS, OURS);
  expect(currentContext(text)).toBe('prod');
  for (const line of OTHERS.split('\n')) expect(text.replaceAll(/\s/g, '')).toContain(line.replaceAll(/\s/g, ''));
  expect(text).toContain('https://127.0.0.1:1');
});

test('withoutEntries() takes away what withEntries() has added, and nothing else', () => {
  const plain = withEntries(OTHERS, OURS);
  expect(withoutEntries(plain, 'flannel-a')).toBe(withoutEntries(withEntries(plain, OURS), 'flannel-a'));
  const back = withoutEntries(plain, 'flannel-a')!;
  expect(hasEntries(back, 'flannel-a')).toBe(false);
  expect(back.replaceAll(/[\s]/g, '')).toBe(OTHERS.replaceAll(/[\s]/g, ''));
  expect(withoutEntries(OTHERS, 'flannel-a')).toBeUndefined();
});

test('an entry of that name is replaced, in its place', () => {
  const newer = OURS.replace('127.0.0.1:1', '127.0.0.1:2');
  const text = withEntries(withEntries(OTHERS, OURS), newer);
  expect(text).not.toContain('127.0.0.1:1"');
  expect(text.match(/flannel-a/g)).toHaveLength(withEntries(OTHERS, OURS).match(/flannel-a/g)!.length);
});

test.each([
  '',
  '{}\n',
  'apiVersion: v1\nclusters: null\ncontexts: []\ncurrent-context: ""\nkind: Config\nusers: null\n',
])('an empty one (%j) gets it as its current context, and gives that up with it', (empty) => {
  const text = withEntries(empty, OURS);
  expect(currentContext(text)).toBe('flannel-a');
  expect(hasEntries(text, 'flannel-a')).toBe(true);
  const back = withoutEntries(text, 'flannel-a')!;
  expect(currentContext(back)).toBeUndefined();
  expect(back).not.toContain('flannel-a');
});

test.each([
  ['clusters: [', 'is no kubeconfig: '],
  ['- a\n', 'is no kubeconfig: it is no object'],
  ['clusters: {a: b}\n', 'is no kubeconfig: "clusters" is no list'],
  ['kind: Config\nkind: Config\n', 'is no kubeconfig: Map keys must be unique'],
])('%j is refused', (text, reason) => {
  expect(() => withEntries(text, OURS)).toThrow(reason);
  expect(() => withoutEntries(text, 'flannel-a')).toThrow(reason);
});

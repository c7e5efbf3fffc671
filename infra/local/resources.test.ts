import { runInNewContext } from 'node:vm';
import * as pulumi from '@pulumi/pulumi';
import type { Kind } from './host.ts';
import { kindOfType, namesHost, providerText } from './provider-text.ts';
import { providerOf } from './resources.ts';

const KINDS: readonly Kind[] = [
  'vpc',
  'machine',
  'artifact',
  'authority',
  'certificate',
  'etcdMember',
  'etcdKey',
  'stagedArtifact',
  'node',
  'pod',
  'kubernetesArtifact',
  'storedImage',
  'units',
  'cluster',
  'published',
];

async function serialised(kind: Kind): Promise<string> {
  const provider = providerOf(kind);
  const { text } = await pulumi.runtime.serializeFunction(() => provider, { allowSecrets: true });
  return text;
}

/** Evaluates the text as Pulumi's provider process does, with a host that tells what it was asked. */
function evaluated(text: string): Record<string, (...args: unknown[]) => unknown> {
  const method =
    (kind: string, name: string) =>
    (...args: unknown[]) => ({ kind, name, args });
  const handlers = new Proxy(
    {},
    {
      get: (_, kind: string) => new Proxy({}, { get: (__, name: string) => method(kind, name) }),
    },
  );
  const module = { exports: {} as { handler?: () => never } };
  const requireHost = (name: string) => {
    if (name !== '@flannel-ts/infra/host') throw new Error(`Unexpected require of ${name}`);
    return { handlers };
  };
  runInNewContext(text, { module, exports: module.exports, require: requireHost, Promise, Object });
  return module.exports.handler!();
}

describe.each(KINDS)('the provider of kind %s as it is kept in the state', (kind) => {
  test('is short and names no path', async () => {
    const text = await serialised(kind);
    expect(text.length).toBeLessThan(2_500);
    expect(text).not.toMatch(/["'`]\/|file:|node_modules|process\.cwd/);
    expect(text).not.toContain(process.cwd());
  });

  test.each([
    ['serialised by Pulumi', serialised],
    ['written by hand', async (each: Kind) => providerText(each)],
  ])('finds its handler in the host package, with all six methods: %s', async (_, make) => {
    const text = await make(kind);
    expect(namesHost(text)).toBe(true);
    const provider = evaluated(text);
    const calls = {
      check: [{ old: 1 }, { new: 1 }],
      diff: ['id', { old: 1 }, { new: 1 }],
      create: [{ new: 1 }],
      read: ['id', { old: 1 }],
      update: ['id', { old: 1 }, { new: 1 }],
      delete: ['id', { old: 1 }],
    };
    for (const [name, args] of Object.entries(calls)) {
      expect(provider[name]!(...args)).toEqual({ kind, name, args });
    }
    expect(Object.keys(provider).sort()).toEqual(Object.keys(calls).sort());
  });
});

test('kindOfType() knows each kind by its type, and no other', () => {
  const types = ['VpcNetwork', 'Machine', 'StoredArtifact', 'Authority', 'Certificate', 'EtcdMember', 'EtcdKey'];
  const more = [
    ...[
      'StagedArtifact',
      'NodeSoftware',
      'Sandbox',
      'KubernetesArtifact',
      'StoredImage',
      'Units',
      'Cluster',
      'Published',
    ],
  ];
  const kinds = [...types, ...more].map((type) => kindOfType(`pulumi-nodejs:dynamic/local:${type}`));
  expect(kinds).toEqual(KINDS);
  expect(kindOfType('pulumi-nodejs:dynamic/other:Machine')).toBeUndefined();
  expect(kindOfType('aws:ec2/vpc:Vpc')).toBeUndefined();
});

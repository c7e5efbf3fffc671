import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { program, removeScratch, scratch, write } from '../testing/setup.ts';
import {
  COREDNS_VERSION,
  KUBERNETES_PROGRAMS,
  KUBERNETES_VERSION,
  kubernetesDirectory,
  missingKubernetes,
  planKubernetes,
} from './kubernetes.mjs';

const ROOT = join(__dirname, '..', '..');

afterEach(removeScratch);
beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true); // progress
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** Stands for the build: writes what `-o` names, and notes the package. */
const GO = `case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  *) while [ $# -gt 1 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done
    echo "$1 in \${PWD##*/}" >>"$BUILT"; printf '#!/bin/sh\\n' >"$out" ;;
esac`;

function machine(go = GO) {
  const [root, cache, bin] = [scratch(), scratch(), scratch()];
  for (const module of ['kubernetes', 'coredns', 'hello'])
    write(join(root, 'tools/kubernetes', module, 'go.mod'), `module ${module}`);
  program(join(bin, 'go'), go);
  const BUILT = write(join(bin, 'built'), '');
  return {
    root,
    cache,
    env: { ...process.env, PATH: `${bin}:/usr/bin:/bin`, BUILT },
    built: () => readFileSync(BUILT, 'utf8').split('\n').slice(0, -1),
  };
}

const unreachable = async (): Promise<Uint8Array> => {
  throw new Error('no such host');
};
const CLUSTER = KUBERNETES_PROGRAMS.filter(({ set }) => set === 'cluster').map(({ name }) => name);

test('planKubernetes() builds each program from its module when the downloads cannot be reached', async () => {
  const context = machine();
  const plan = planKubernetes(context, ['cluster'], unreachable);
  expect(plan?.what).toContain('about 8 minutes');
  await plan?.apply();
  expect(readdirSync(kubernetesDirectory(context)).sort()).toEqual([...CLUSTER].sort());
  expect(context.built()).toContain('k8s.io/kubernetes/cmd/kubelet in kubernetes');
  expect(context.built()).toContain('. in coredns');
  expect(planKubernetes(context, ['cluster'], unreachable)).toBeUndefined();
  expect(missingKubernetes(context, ['conformance']).map(({ name }) => name)).toContain('e2e.test');
});

test("planKubernetes() builds Pulumi's provider with the files that it embeds, when the CLI cannot download it", async () => {
  const module = scratch();
  write(join(module, 'cmd/pulumi-resource-kubernetes/schema.json'), '{"name":"kubernetes"}');
  write(join(module, 'cmd/pulumi-resource-kubernetes/terraform-mapping.json'), '{"a":1}');
  const context = machine(`case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  list) echo '{"Version":"v4.0.0"}' ;;
  mod) echo '{"Dir":"${module}"}' ;;
  *) cat schema-embed.json terraform-mapping-embed.json >"$BUILT"
    while [ $# -gt 1 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done; printf '#!/bin/sh\\n' >"$out" ;;
esac`);
  write(join(context.root, 'tools/pulumi/kubernetes/go.mod'), 'module provider');
  program(join(context.env.PATH.split(':')[0]!, 'pulumi'), 'exit 1');
  await planKubernetes(context, ['pulumi'], unreachable)?.apply();
  expect(missingKubernetes(context, ['pulumi'])).toEqual([]);
  expect(readFileSync(context.env.BUILT, 'utf8')).toBe('{"name":"kubernetes","version":"4.24.0"}{"a":1}');
  expect(readdirSync(kubernetesDirectory(context))).toEqual(['pulumi-resource-kubernetes']);
});

test('planKubernetes() asks an unreachable site once', async () => {
  const asked: string[] = [];
  await planKubernetes(machine(), ['cluster'], async (url) => {
    asked.push(url);
    return unreachable();
  })?.apply();
  expect(asked).toEqual([`https://dl.k8s.io/v${KUBERNETES_VERSION}/bin/linux/amd64/kubectl.sha256`].map(ofThisMachine));
});

test('planKubernetes() takes released binaries with the checksum of their release, and builds the rest', async () => {
  const context = machine();
  const fetched = async (url: string) =>
    Buffer.from(url.endsWith('.sha256') ? sha256(url.slice(0, -'.sha256'.length)) : url);
  await planKubernetes(context, ['cluster'], fetched)?.apply();
  expect(context.built()).toEqual(['. in coredns', '. in hello']);
  expect(readFileSync(join(kubernetesDirectory(context), 'kubelet'), 'utf8')).toMatch(/^https:.*\/kubelet$/);
});

test('planKubernetes() refuses what is not what its release says, and keeps none of it', async () => {
  const context = machine();
  const damaged = async (url: string) => Buffer.from(url.endsWith('.sha256') ? sha256('another') : url);
  await expect(planKubernetes(context, ['cluster'], damaged)?.apply()).rejects.toThrow(
    /kubectl has the sha256 .*, its release says/,
  );
  expect(readdirSync(kubernetesDirectory(context))).toEqual([]);
  expect(context.built()).toEqual([]);
});

test('planKubernetes() goes on where a build was cut off', async () => {
  const failing = GO.replace('esac', '').replace('echo "$1 in', 'case "$1" in *kubelet) exit 1 ;; esac; echo "$1 in');
  const context = machine(`${failing}esac`);
  await expect(planKubernetes(context, ['cluster'], unreachable)?.apply()).rejects.toThrow(/cmd\/kubelet ended with/);
  expect(existsSync(join(kubernetesDirectory(context), 'kubectl'))).toBe(true);
  write(join(kubernetesDirectory(context), '.work-cutoff', 'kubelet'), 'half');
  program(join(context.env.PATH!.split(':')[0]!, 'go'), GO);
  const before = context.built();
  await planKubernetes(context, ['cluster'], unreachable)?.apply();
  expect(context.built().slice(before.length)).not.toContain('k8s.io/kubernetes/cmd/kubectl in kubernetes');
  expect(readdirSync(kubernetesDirectory(context)).sort()).toEqual([...CLUSTER].sort());
});

test('the modules name the versions that are wanted', () => {
  const goMod = (module: string) => readFileSync(join(ROOT, 'tools/kubernetes', module, 'go.mod'), 'utf8');
  expect(goMod('kubernetes')).toContain(`k8s.io/kubernetes v${KUBERNETES_VERSION}`);
  expect(goMod('coredns')).toContain(`github.com/coredns/coredns v${COREDNS_VERSION}`);
});

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function ofThisMachine(url: string): string {
  return process.arch === 'x64' ? url : url.replace('amd64', process.arch);
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { program, removeScratch, scratch, write } from '../testing/setup.ts';
import { findPulumi, PULUMI_VERSION, planPulumi } from './pulumi.mjs';

afterEach(removeScratch);
beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true); // progress
});
afterEach(() => {
  jest.restoreAllMocks();
});

const SYSTEM = '/usr/bin:/bin';
const SDK_SCRIPT = 'node_modules/@pulumi/pulumi/pulumi-resource-pulumi-nodejs';

/** A checkout with the SDK's script, and a PATH with the given programs before the system's. */
function machine(programs: Readonly<Record<string, string>>) {
  const [root, cache, bin] = [scratch(), scratch(), scratch()];
  write(join(root, SDK_SCRIPT), '#!/bin/sh\n');
  for (const directory of ['cli', 'language-nodejs'])
    write(join(root, 'tools/pulumi', directory, 'go.mod'), 'module x');
  for (const [name, script] of Object.entries(programs)) program(join(bin, name), script);
  return { root, cache, bin, env: { ...process.env, PATH: `${bin}:${SYSTEM}`, NEW: `v${PULUMI_VERSION}` } };
}

const OTHERS = { 'pulumi-language-nodejs': '', 'pulumi-resource-pulumi-nodejs': '' };

test('findPulumi() uses the one on PATH, and asks it for its version once', async () => {
  const context = machine({ pulumi: 'echo x >> "$0.calls"; echo v3.240.0', ...OTHERS });
  expect(await findPulumi(context)).toBe(context.bin);
  expect(await findPulumi(context)).toBe(context.bin);
  expect(readFileSync(join(context.bin, 'pulumi.calls'), 'utf8')).toBe('x\n');
});

test.each(['v3.239.9', 'v2.300.0', 'nonsense', ''])('findPulumi() does not accept version "%s"', async (version) => {
  expect(await findPulumi(machine({ pulumi: `echo ${version}`, ...OTHERS }))).toBeUndefined();
});

test('findPulumi() does not accept a CLI without its language host', async () => {
  expect(await findPulumi(machine({ pulumi: 'echo v3.259.0' }))).toBeUndefined();
});

/** Stands for the build of either piece: the name of the directory says which. */
const GO = `case "$1" in
  version) echo "go version go1.26.8 linux/amd64" ;;
  install) case "$PWD" in
    */cli) printf '#!/bin/sh\\necho '"$NEW"'\\n' > "$GOBIN/pulumi"; chmod 755 "$GOBIN/pulumi" ;;
    */language-nodejs) printf '#!/bin/sh\\n' > "$GOBIN/pulumi-language-nodejs"; chmod 755 "$GOBIN/pulumi-language-nodejs" ;;
  esac ;;
esac`;

test('planPulumi() builds the CLI from its Go modules when the download cannot be reached', async () => {
  const context = machine({ npm: 'echo "pulumi: fetch failed" >&2; exit 1', go: GO });
  write(join(context.cache, 'tools', `pulumi-${PULUMI_VERSION}.cutoff`, 'bin', 'pulumi'), 'half');
  await (await planPulumi(context))?.apply();
  expect(await findPulumi(context)).toBe(join(context.cache, 'tools', `pulumi-${PULUMI_VERSION}`, 'bin'));
  expect(await planPulumi(context)).toBeUndefined();
  expect(readdirSync(join(context.cache, 'tools'))).toEqual([`pulumi-${PULUMI_VERSION}`]);
});

test('planPulumi() uses the download when it works, and does not ask Go', async () => {
  const npm = `bin="$PULUMI_HOME/versions/$PULUMI_VERSION/bin"; mkdir -p "$bin"
for name in pulumi pulumi-language-nodejs; do printf '#!/bin/sh\\necho '"$NEW"'\\n' > "$bin/$name"; chmod 755 "$bin/$name"; done`;
  const context = machine({ npm, go: 'exit 3' });
  await (await planPulumi(context))?.apply();
  expect(await findPulumi(context)).toBeDefined();
});

test('planPulumi() leaves nothing behind when the build fails, and repeats what it said', async () => {
  const go = `case "$1" in version) echo "go version go1.26.8 linux/amd64" ;; *) echo "no space left" >&2; exit 1 ;; esac`;
  const context = machine({ npm: 'exit 1', go });
  await expect((await planPulumi(context))?.apply()).rejects.toThrow(/go install .*\n {2}no space left/s);
  expect(readdirSync(join(context.cache, 'tools'))).toEqual([]);
});

test('planPulumi() does not keep a CLI that is not what was asked for', async () => {
  const context = { ...machine({ npm: 'exit 1', go: GO }) };
  context.env = { ...context.env, NEW: 'v1.0.0' };
  await expect((await planPulumi(context))?.apply()).rejects.toThrow('The Pulumi CLI calls itself "v1.0.0"');
  expect(existsSync(join(context.cache, 'tools', `pulumi-${PULUMI_VERSION}`))).toBe(false);
});

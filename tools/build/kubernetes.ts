/** What the machines of a cluster run: Kubernetes' programs, and the images that a new cluster needs. In dist/kubernetes. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { linkOrCopy } from '@flannel-ts/infra/local/host/link-or-copy';
import { DEMO_PORT } from '@flannel-ts/infra/node/kubernetes/demo';
import { COREDNS_IMAGE, DEMO_IMAGE, PAUSE_IMAGE } from '@flannel-ts/infra/node/kubernetes/images';
import { ToolError } from '../setup/errors.mjs';
import { findProgram, run } from '../setup/exec.mjs';
import { KUBERNETES_PROGRAMS, KUBERNETES_VERSION, kubernetesDirectory } from '../setup/kubernetes.mjs';
import { step } from '../setup/progress.mjs';
import type { Context } from '../src/context.ts';
import { type Image, type ImageFile, imageArchive } from './image-archive.ts';
import { sha256 } from './inputs.mjs';

/** Below the checkout. */
export const KUBERNETES_BUILD = 'dist/kubernetes';

const PROGRAMS = KUBERNETES_PROGRAMS.filter(({ set }) => set === 'cluster').map(({ name }) => name);
/** Directories that runtimes mount something on. */
const MOUNT_POINTS: readonly ImageFile[] = ['dev/', 'etc/', 'proc/', 'sys/', 'tmp/'].map((path) => ({
  path,
  ...(path === 'tmp/' && { mode: 0o1777 }),
}));
const PATH = 'PATH=/bin';
/** Another one when the images are made in another way. */
const RECIPE = 1;

/** Made when it is not as the sources and the cache are. The programs must be in the cache. */
export async function buildKubernetes(context: Context): Promise<void> {
  const target = join(context.root, KUBERNETES_BUILD);
  const bin = kubernetesDirectory(context);
  const busybox = findStaticBusybox(context);
  const inputs = inputsOf(bin, busybox);
  if (readInputs(target) === inputs) return;
  await step('Making the images of a cluster', async () => {
    const images = imageArchive(await clusterImages(bin, context), architecture());
    const work = join(context.root, 'dist', `.kubernetes-${process.pid}`);
    rmSync(work, { recursive: true, force: true });
    mkdirSync(join(work, 'bin'), { recursive: true });
    writeFileSync(join(work, 'images.tar'), images);
    for (const name of PROGRAMS) linkOrCopy(join(bin, name), join(work, 'bin', name));
    const manifest = { version: KUBERNETES_VERSION, sha256: sha256(`${inputs}\0${sha256(images)}`), inputs };
    writeFileSync(join(work, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    rmSync(target, { recursive: true, force: true });
    renameSync(work, target);
  });
}

/** Programs of a version do not change: their sizes tell whether they are there as they should be. */
function inputsOf(bin: string, busybox: string): string {
  const hash = createHash('sha256').update(`${KUBERNETES_VERSION} ${RECIPE}`);
  for (const path of [busybox, ...PROGRAMS.map((name) => join(bin, name))])
    hash.update(`${path} ${statSync(path).size}`);
  return hash.digest('hex');
}

function readInputs(directory: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as { inputs?: string }).inputs;
  } catch {
    return undefined;
  }
}

async function clusterImages(bin: string, context: Context): Promise<Image[]> {
  const shell = await shellFiles(context);
  const program = (name: string, path = name): ImageFile => ({
    path,
    content: readFileSync(join(bin, name)),
    mode: 0o755,
  });
  return [
    // What it would wait for is not its child; where a pod's containers share process numbers, the kernel reaps for it.
    {
      names: [PAUSE_IMAGE],
      layers: [shell],
      config: { Env: [PATH], Entrypoint: ['/bin/sh', '-c', "trap '' CHLD; exec sleep 2147483647"] },
    },
    {
      names: [DEMO_IMAGE],
      layers: [shell, [program('hello', 'bin/hello')]],
      config: { Env: [PATH], Cmd: ['/bin/hello', 'serve', String(DEMO_PORT)], WorkingDir: '/' },
    },
    {
      names: [COREDNS_IMAGE],
      layers: [[...MOUNT_POINTS, program('coredns')]],
      config: { Entrypoint: ['/coredns'] },
    },
  ];
}

/** A shell and its commands. */
export async function shellFiles(context: Context): Promise<ImageFile[]> {
  const busybox = findStaticBusybox(context);
  const applets = (await run(busybox, ['--list'], { env: context.env })).trim().split('\n');
  return [
    ...MOUNT_POINTS,
    { path: 'bin/' },
    { path: 'bin/busybox', content: readFileSync(busybox), mode: 0o755 },
    ...applets.filter((name) => name !== 'busybox').map((name) => ({ path: `bin/${name}`, link: 'busybox' })),
  ];
}

function findStaticBusybox({ env }: Context): string {
  const found = findProgram('busybox', env);
  if (found !== undefined) return found;
  throw new ToolError('KUBERNETES', 'There is no busybox: install a static one (in Debian: busybox-static)');
}

export function architecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

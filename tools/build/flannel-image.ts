/** The container image of flanneld, of the CNI plugin and of what installs it, made without a container tool: no shell is in it. */
import { existsSync, mkdirSync, readFileSync, readlinkSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { IMAGE_PATHS } from '@flannel-ts/infra/kubernetes/objects';
import { OVERLAY_BUILD, type OverlayBuild } from '@flannel-ts/infra/node/kubernetes/overlay';
import { ToolError } from '../setup/errors.mjs';
import { findProgram, run } from '../setup/exec.mjs';
import { step } from '../setup/progress.mjs';
import { type Image, type ImageFile, imageArchive } from './image-archive.ts';
import { sha256, sha256OfFile } from './inputs.mjs';

export interface FlannelImage {
  readonly file: string;
  /** By which pods name it. */
  readonly name: string;
  readonly sha256: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const architecture = ARCHITECTURES[process.arch] ?? process.arch;
/** Another one when the image is made in another way. */
const RECIPE = '1';
/** Of the build, below its directory. */
const PROGRAMS = { [IMAGE_PATHS.flanneld]: 'flanneld', [IMAGE_PATHS.plugin]: 'cni/flannel' };
/** What flanneld runs: rules by one transaction of nft, and iptables where chains of others are looked at. */
const NEEDED = ['nft'];
const WANTED = ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore'];
/** iptables loads its matches from there when a rule has them. */
const EXTENSIONS = [
  'libxt_comment.so',
  'libxt_mark.so',
  'libxt_standard.so',
  'libxt_MASQUERADE.so',
  'libxt_conntrack.so',
];

/** From dist/, and from this machine's libraries and firewall programs: the same machine and build give the same bytes. */
export async function makeFlannelImage(root: string, env: NodeJS.ProcessEnv): Promise<FlannelImage> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const name = imageName(version);
  const image = await imageOf(join(root, 'dist'), version, [name], env);
  const file = join('dist', `flannel-image-${version}-linux-${architecture}.tar`);
  const work = join(root, `${file}.${process.pid}`);
  writeFileSync(work, imageArchive([image], architecture));
  renameSync(work, join(root, file));
  return { file, name, sha256: sha256OfFile(join(root, file)) };
}

/**
 * The image for the nodes of a stack's cluster, below the directory of a build. Its name tells its content, so that another build makes
 * other pods. What is up to date is left as it is.
 */
export async function makeOverlayImage(build: string, env: NodeJS.ProcessEnv): Promise<void> {
  const target = join(build, OVERLAY_BUILD);
  const programs = Object.values(PROGRAMS).map((name) => sha256OfFile(required(join(build, name))));
  const { version } = JSON.parse(readFileSync(join(build, 'manifest.json'), 'utf8')) as { version: string };
  const inputs = sha256([RECIPE, version, ...programs].join(' '));
  if (readOverlayInputs(target) === inputs) return;
  await step('Making the image of flanneld', async () => {
    const image = await imageOf(build, version, [], env);
    const tag = sha256(imageArchive([image], architecture)).slice(0, 16);
    const name = imageName(tag);
    const archive = imageArchive([{ ...image, names: [name] }], architecture);
    mkdirSync(target, { recursive: true });
    writeWhole(join(target, 'image.tar'), archive);
    const manifest: OverlayBuild & { inputs: string } = { name, sha256: sha256(archive), inputs };
    writeWhole(join(target, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  });
}

function writeWhole(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.${process.pid}`, content);
  renameSync(`${path}.${process.pid}`, path);
}

function readOverlayInputs(directory: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as { inputs?: string }).inputs;
  } catch {
    return undefined;
  }
}

/** `build`: directory with the programs. */
async function imageOf(
  build: string,
  version: string,
  names: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Image> {
  const files = await filesOf(build, env);
  return {
    names,
    layers: [files.filter(({ path }) => !isOurs(path)), files.filter(({ path }) => isOurs(path))],
    config: {
      Entrypoint: [IMAGE_PATHS.flanneld],
      Env: ['PATH=/usr/sbin:/usr/bin'],
      WorkingDir: '/',
      Labels: { 'org.opencontainers.image.title': 'flannel-ts', 'org.opencontainers.image.version': version },
    },
  };
}

function required(file: string): string {
  if (existsSync(file)) return file;
  throw new ToolError('BUILD', `There is no ${file}: run npm run build`);
}

/** With the host that containerd would add, so that the same word finds it. */
export function imageName(version: string): string {
  return `localhost/flannel-ts:${version}`;
}

/** They change with each build; the layer with the rest stays. */
function isOurs(path: string): boolean {
  return path.startsWith('opt/');
}

async function filesOf(build: string, env: NodeJS.ProcessEnv): Promise<ImageFile[]> {
  const found = new Map<string, ImageFile>();
  const ours = Object.entries(PROGRAMS).map(([path, name]) => ({ path, from: required(join(build, name)) }));
  for (const { path, from } of ours) {
    found.set(path, { path: path.slice(1), content: readFileSync(from), mode: 0o755 });
    await addLibraries(found, from, env);
  }
  for (const name of [...NEEDED, ...WANTED]) {
    const from = findProgram(name, env);
    if (from === undefined && NEEDED.includes(name))
      throw new ToolError('BUILD', `There is no ${name}: install nftables`);
    if (from === undefined) continue;
    addFile(found, `/usr/sbin/${name}`, from, 0o755);
    await addLibraries(found, from, env);
    if (name === 'iptables') for (const library of extensionsOf(from)) addFile(found, library, library);
  }
  const folders = new Set<string>(['/tmp', '/run', '/proc', '/sys', '/dev', '/etc']);
  for (const path of found.keys()) for (let up = dirname(path); up !== '/'; up = dirname(up)) folders.add(up);
  const directories = [...folders].sort().map((path): ImageFile => ({ path: `${path.slice(1)}/` }));
  return [...directories, ...[...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))];
}

/** What ldd(1) says that the loader would take. */
async function addLibraries(found: Map<string, ImageFile>, program: string, env: NodeJS.ProcessEnv): Promise<void> {
  const listed = await run('ldd', [program], { env });
  for (const [, path] of listed.matchAll(/(?:^|=> )\s*(\/\S+) \(0x/gm)) addFile(found, path!, path!);
}

/** The contents, whatever links lead there. */
function addFile(found: Map<string, ImageFile>, path: string, from: string, mode = 0o755): void {
  if (!found.has(path)) found.set(path, { path: path.slice(1), content: readFileSync(realpathSync(from)), mode });
}

function extensionsOf(iptables: string): string[] {
  const folder = ['/usr/lib/x86_64-linux-gnu/xtables', '/usr/lib/aarch64-linux-gnu/xtables', '/usr/lib/xtables'].find(
    existsSync,
  );
  if (folder === undefined) throw new ToolError('BUILD', `There are no extensions of ${basename(iptables)}`);
  return EXTENSIONS.map((name) => join(folder, name)).filter((file) => existsSync(file) || isLink(file));
}

function isLink(file: string): boolean {
  try {
    return readlinkSync(file) !== '';
  } catch {
    return false;
  }
}

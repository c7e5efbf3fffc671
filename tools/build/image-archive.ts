/** Container images without a container tool: an OCI image layout in a tar archive, as containerd, Docker and skopeo import it. */
import { createHash } from 'node:crypto';

export interface ImageFile {
  /** Relative; a directory ends in a slash. */
  readonly path: string;
  readonly content?: Uint8Array;
  readonly mode?: number;
  /** What a symbolic link points to. */
  readonly link?: string;
}

export interface Image {
  readonly names: readonly string[];
  /** One below the other: what several images have in common is stored once. */
  readonly layers: readonly (readonly ImageFile[] | Uint8Array)[];
  readonly config: {
    readonly Entrypoint?: string[];
    readonly Cmd?: string[];
    readonly Env?: string[];
    readonly WorkingDir?: string;
    readonly Labels?: Readonly<Record<string, string>>;
  };
}

const BLOCK = 512;
const NOTHING = new Uint8Array();

/** The same images give the same bytes. */
export function imageArchive(images: readonly Image[], architecture: string): Uint8Array {
  const blobs = new Map<string, Uint8Array>();
  const tars = new Map<Image['layers'][number], Uint8Array>();
  const add = (content: Uint8Array) => {
    const digest = createHash('sha256').update(content).digest('hex');
    blobs.set(digest, content);
    return { digest: `sha256:${digest}`, size: content.length };
  };
  const layer = (files: Image['layers'][number]) => {
    const bytes = tars.get(files) ?? (files instanceof Uint8Array ? files : tarArchive(files));
    tars.set(files, bytes);
    return { mediaType: 'application/vnd.oci.image.layer.v1.tar', ...add(bytes) };
  };
  const manifests = images.flatMap(({ names, layers: contents, config }) => {
    const layers = contents.map(layer);
    const settings = json({
      architecture,
      os: 'linux',
      config,
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    });
    const manifest = json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...add(settings) },
      layers,
    });
    const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...add(manifest) };
    return names.map((name) => ({
      ...descriptor,
      platform: { os: 'linux', architecture },
      // The first is containerd's, the second the specification's.
      annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name.split(':').at(-1) },
    }));
  });
  return tarArchive([
    { path: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
    { path: 'index.json', content: json({ schemaVersion: 2, manifests }) },
    { path: 'blobs/' },
    { path: 'blobs/sha256/' },
    ...[...blobs].map(([digest, content]) => ({ path: `blobs/sha256/${digest}`, content })),
  ]);
}

/** POSIX's ustar format, owned by root and without a modification time, so that the bytes are reproducible. */
export function tarArchive(files: readonly ImageFile[]): Uint8Array {
  const parts = files.flatMap((file) => {
    const { content = NOTHING } = file;
    return [header(file), content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]);
}

function header({ path, content = NOTHING, mode, link }: ImageFile): Uint8Array {
  const isDirectory = path.endsWith('/');
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) => block.write(value.toString(8).padStart(digits, '0'), at);
  if (Buffer.byteLength(path) > 100) throw new RangeError(`${path} is too long for a tar archive`);
  block.write(path, 0);
  octal(mode ?? (isDirectory || link !== undefined ? 0o755 : 0o644), 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(content.length, 124, 11);
  octal(0, 136, 11);
  block.fill(' ', 148, 156);
  block.write(link !== undefined ? '2' : isDirectory ? '5' : '0', 156);
  block.write(link ?? '', 157);
  block.write('ustar\0', 257);
  block.write('00', 263);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

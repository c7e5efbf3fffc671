/** The artifact that nodes run: its manifest, and the scripts that install it on a machine. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InfraError } from '../errors.ts';

export interface Artifact {
  readonly version: string;
  /** Of the archive; the nodes verify it. */
  readonly sha256: string;
  /** Name of the archive beside the manifest. */
  readonly file: string;
  /** Path of the archive. */
  readonly source: string;
}

/** Reads the manifest in `directory`; `make` is the command that creates it, for messages. */
export function readArtifact(directory: string, make = 'npm run build'): Artifact {
  const path = join(directory, 'manifest.json');
  const artifact = parseManifest(readText(path, make), path, make);
  const source = join(directory, artifact.file);
  if (statSync(source, { throwIfNoEntry: false }) === undefined) {
    throw new InfraError('ARTIFACT_MISSING', `${path} names ${artifact.file}, which is not there: run "${make}"`);
  }
  return { ...artifact, source };
}

export function parseManifest(text: string, path = 'manifest.json', make = 'npm run build'): Omit<Artifact, 'source'> {
  const manifest = JSON.parse(text) as { version?: unknown; artifact?: { file?: unknown; sha256?: unknown } };
  const { version, artifact } = manifest;
  const file = artifact?.file;
  const sha256 = artifact?.sha256;
  if (typeof version !== 'string' || typeof file !== 'string' || !/^[0-9a-f]{64}$/.test(String(sha256))) {
    throw new InfraError('ARTIFACT_MISSING', `${path} does not describe an artifact: run "${make}"`);
  }
  return { version, file, sha256: sha256 as string };
}

function readText(path: string, make: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InfraError('ARTIFACT_MISSING', `Cannot read ${path}: run "${make}"`, { cause: error });
  }
}

export interface Install {
  /** Where the machine's file system begins: empty on a machine of its own. */
  readonly root: string;
  readonly url: string;
  readonly sha256: string;
  /** Shell command that downloads `$url` into the file `$archive`. Default: curl. */
  readonly fetch?: string;
  /** Directory below /opt that holds the versions. Default: flannel. */
  readonly product?: string;
}

const CURL = 'curl --fail --silent --show-error --location --retry 5 --output "$archive" "$url"';

/**
 * The script that brings an artifact to a machine: fetched by URL, verified, unpacked beside the one that runs. Nothing of
 * what runs is touched, so all machines can be staged before the first one is switched.
 */
export function stageScript({ root, url, sha256, fetch = CURL, product }: Install): string {
  return `${head(root, sha256, product)}
url=${quote(url)}
mkdir -p "$opt"
if [ ! -d "$opt/$sha256" ]; then
  work="$opt/.$sha256.$$"
  trap 'rm -rf "$work"' EXIT
  archive="$work/artifact.tar.gz"
  mkdir -p "$work/files"
  ${fetch}
  if ! echo "$sha256  $archive" | sha256sum --check --status; then
    echo "$url does not have the sha256 $sha256" >&2
    exit 1
  fi
  tar --extract --gzip --no-same-owner --file "$archive" --directory "$work/files"
  mv -T "$work/files" "$opt/$sha256"
fi
`;
}

/**
 * The script that makes a staged artifact the current one, by one rename: there is no moment without a whole installation.
 * Of the earlier ones, only the last is kept.
 */
export function activateScript({ root, sha256, product }: Omit<Install, 'url' | 'fetch'>): string {
  return `${head(root, sha256, product)}
if [ ! -d "$opt/$sha256" ]; then
  echo "there is no artifact $sha256 in $opt" >&2
  exit 1
fi
previous=$(readlink "$opt/current" || true)
if [ "$previous" != "$sha256" ]; then
  ln -s "$sha256" "$opt/.current.$$"
  mv -T "$opt/.current.$$" "$opt/current"
  for version in "$opt"/*; do
    case "\${version##*/}" in
      current | "$sha256" | "$previous") ;;
      *) rm -rf "$version" ;;
    esac
  done
fi
`;
}

function head(root: string, sha256: string, product = 'flannel'): string {
  return `#!/bin/sh
set -eu
opt=${quote(`${root}/opt/${product}`)}
sha256=${sha256}`;
}

/** Quotes a text as one word of a shell command. */
export function quote(word: string): string {
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

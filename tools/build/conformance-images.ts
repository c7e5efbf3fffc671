/** The images that Kubernetes' own tests of networks ask for, by the names they ask for: nothing is fetched from a registry. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueAuthority } from '@flannel-ts/infra/local/host/certificates';
import { installPackages } from '../setup/debian.mjs';
import { findProgram, run } from '../setup/exec.mjs';
import { kubernetesDirectory } from '../setup/kubernetes.mjs';
import { step } from '../setup/progress.mjs';
import type { Context } from '../src/context.ts';
import { type Image, type ImageFile, imageArchive } from './image-archive.ts';
import { architecture, shellFiles } from './kubernetes.ts';

const REGISTRY = 'registry.k8s.io';
const E2E = `${REGISTRY}/e2e-test-images`;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/';

/** What the tests execute in pods of agnhost and of dnsutils. */
const PACKAGES = [
  ...[
    'bind9-dnsutils',
    'ca-certificates',
    'conntrack',
    'curl',
    'hostname',
    'iperf',
    'iproute2',
    'iptables',
    'iputils-ping',
  ],
  ...['netcat-openbsd', 'nftables', 'procps', 'socat', 'tcpdump'],
];
const SUITE = 'bookworm';

/** Tests of services call "wget -q -O - -T 1 URL". */
const WGET = `#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    -q | -O-) ;;
    -O) shift ;;
    -T) shift; seconds=$1 ;;
    *) url=$1 ;;
  esac
  shift
done
exec curl --silent --show-error --fail --max-time "\${seconds:-5}" "$url"
`;

/** The archive's path; made once, and kept in the cache. */
export async function conformanceImages(context: Context): Promise<string> {
  const directory = join(kubernetesDirectory(context), '..', 'conformance');
  const archive = join(directory, 'images.tar');
  if (existsSync(archive)) return archive;
  mkdirSync(directory, { recursive: true });
  const debian = await debianFiles(context, directory);
  await step("Making the images of Kubernetes' tests", async () => {
    writeFileSync(`${archive}.new`, imageArchive(await images(context, debian), architecture()));
    renameSync(`${archive}.new`, archive);
  });
  return archive;
}

/** A small Debian, as tar. */
async function debianFiles(context: Context, directory: string): Promise<Uint8Array> {
  const tar = join(directory, 'debian.tar');
  if (!existsSync(tar)) {
    if (findProgram('mmdebstrap', context.env) === undefined) {
      await installPackages(context, [{ name: 'mmdebstrap', program: 'mmdebstrap' }]);
    }
    const unused = ['doc', 'man', 'locale'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
    const args = ['--variant=minbase', `--include=${PACKAGES}`, ...unused, SUITE, `${tar}.new.tar`];
    await step('Fetching a small Debian for the images', (detail) =>
      run('mmdebstrap', args, { env: context.env, onLine: detail }),
    );
    renameSync(`${tar}.new.tar`, tar);
  }
  return readFileSync(tar);
}

async function images(context: Context, debian: Uint8Array): Promise<Image[]> {
  const bin = kubernetesDirectory(context);
  const program = (name: string): ImageFile => ({ path: name, content: readFileSync(join(bin, name)), mode: 0o755 });
  const shell = await shellFiles(context);
  // Its "porter" serves HTTPS with it. Who asks does not look at it.
  const { certificate, key } = await issueAuthority({ stack: '', commonName: 'localhost', validDays: 3650 });
  const agnhost: ImageFile[] = [
    { path: 'uploads/' },
    { path: 'usr/local/bin/wget', content: Buffer.from(WGET), mode: 0o755 },
    program('agnhost'),
    { path: 'agnhost-2', link: 'agnhost' },
    program('coredns'),
    { path: 'localhost.crt', content: Buffer.from(certificate) },
    { path: 'localhost.key', content: Buffer.from(key) },
  ];
  const mounts = ['dev/', 'etc/', 'proc/', 'sys/'].map((path) => ({ path }));
  return [
    {
      names: [`${E2E}/agnhost:2.56`],
      layers: [debian, agnhost],
      config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], Env: [PATH], WorkingDir: '/' },
    },
    {
      names: [`${E2E}/jessie-dnsutils:1.7`, `${REGISTRY}/build-image/distroless-iptables:v0.7.11`],
      layers: [debian],
      config: { Cmd: ['/bin/bash'], Env: [PATH] },
    },
    {
      names: [`${REGISTRY}/pause:3.10.1`, `${REGISTRY}/pause:3.10`],
      layers: [shell],
      config: { Entrypoint: ['/bin/sh', '-c', "trap '' CHLD; exec sleep 2147483647"], Env: [PATH] },
    },
    {
      names: [`${E2E}/busybox:1.36.1-1`, `${E2E}/busybox:1.37.0-1`],
      layers: [shell],
      config: { Cmd: ['sh'], Env: [PATH] },
    },
    {
      names: [`${E2E}/regression-issue-74839:1.2`],
      layers: [[program('regression-issue-74839'), ...mounts]],
      config: { Entrypoint: ['/regression-issue-74839'], Env: [PATH] },
    },
  ];
}

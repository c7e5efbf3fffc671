import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ToolError } from './errors.mjs';
import { isExecutable, run } from './exec.mjs';
import { findGo } from './go.mjs';
import { say, step } from './progress.mjs';
import { downloadProvider, embedSchema, PROVIDER, PROVIDER_VERSION } from './pulumi-kubernetes.mjs';

/** Both ways of getting them give these versions: go.mod in the folders of tools/kubernetes names them too. */
export const KUBERNETES_VERSION = '1.34.2';
export const COREDNS_VERSION = '1.12.4';

/** A server that does not answer in this time is taken for unreachable: a firewall may drop what it does not allow. */
const ANSWER_MS = 10_000;
const DOWNLOAD_MS = 300_000;

const VERSION = 'k8s.io/component-base/version';
const KUBERNETES_LDFLAGS = `-s -w -X ${VERSION}.gitVersion=v${KUBERNETES_VERSION} -X ${VERSION}.gitMajor=1 -X ${VERSION}.gitMinor=34`;

/**
 * @typedef {import('./context.mjs').Context} Context
 * @typedef {'cluster' | 'conformance' | 'pulumi' | 'helm'} KubernetesSet what a cluster runs; what its conformance tests need besides; with
 *   what Pulumi makes objects in one; with what the chart is tried
 *
 * @typedef {object} KubernetesProgram
 * @property {string} name
 * @property {KubernetesSet} set
 * @property {string} module folder below tools with its go.mod
 * @property {string} source Go package
 * @property {string} ldflags
 * @property {boolean} [test] a test binary
 * @property {number} minutes to build it after those before it, with two processors and nothing cached
 * @property {(context: Context, path: string) => Promise<void>} [obtain] by a downloader that checks it; rejects where that is not possible
 * @property {(context: Context, go: import('./go.mjs').Go, work: string) => Promise<string>} [prepare] gives the folder to build in, if the module's is not it
 * @property {(architecture: string) => string} [release] URL of its release; the same with .sha256 is its checksum
 *
 * @typedef {(url: string, timeoutMs: number) => Promise<Uint8Array>} Fetch
 */

/** @type {readonly KubernetesProgram[]} */
export const KUBERNETES_PROGRAMS = [
  ...[
    { name: 'kubectl', minutes: 1.2 },
    { name: 'kube-apiserver', minutes: 2 },
    { name: 'kube-controller-manager', minutes: 0.8 },
    { name: 'kube-scheduler', minutes: 0.4 },
    { name: 'kubelet', minutes: 1 },
    { name: 'kube-proxy', minutes: 0.3 },
  ].map(({ name, minutes }) => ({
    name,
    minutes,
    set: /** @type {const} */ ('cluster'),
    module: 'kubernetes/kubernetes',
    source: `k8s.io/kubernetes/cmd/${name}`,
    ldflags: KUBERNETES_LDFLAGS,
    release: (/** @type {string} */ architecture) =>
      `https://dl.k8s.io/v${KUBERNETES_VERSION}/bin/linux/${architecture}/${name}`,
  })),
  { name: 'coredns', set: 'cluster', module: 'kubernetes/coredns', source: '.', ldflags: '-s -w', minutes: 1.5 },
  { name: 'hello', set: 'cluster', module: 'kubernetes/hello', source: '.', ldflags: '-s -w', minutes: 0.1 },
  {
    name: 'ginkgo',
    set: 'conformance',
    module: 'kubernetes/kubernetes',
    source: 'github.com/onsi/ginkgo/v2/ginkgo',
    ldflags: '-s -w',
    minutes: 0.3,
  },
  {
    name: 'agnhost',
    set: 'conformance',
    module: 'kubernetes/kubernetes',
    source: 'k8s.io/kubernetes/test/images/agnhost',
    ldflags: '-s -w',
    minutes: 1.7,
  },
  {
    name: 'regression-issue-74839',
    set: 'conformance',
    module: 'kubernetes/kubernetes',
    source: 'k8s.io/kubernetes/test/images/regression-issue-74839',
    ldflags: '-s -w',
    minutes: 0.1,
  },
  {
    name: 'e2e.test',
    set: 'conformance',
    module: 'kubernetes/kubernetes',
    source: 'k8s.io/kubernetes/test/e2e',
    ldflags: '-s -w',
    test: true,
    minutes: 6.7,
  },
  {
    name: PROVIDER,
    set: 'pulumi',
    module: 'pulumi/kubernetes',
    source: '.',
    ldflags: `-s -w -X github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version=v${PROVIDER_VERSION}`,
    minutes: 9,
    obtain: downloadProvider,
    prepare: embedSchema,
  },
  {
    name: 'helm',
    set: 'helm',
    module: 'pulumi/kubernetes',
    source: 'helm.sh/helm/v3/cmd/helm',
    ldflags: '-s -w',
    minutes: 1,
  },
];

/**
 * Where the programs are, or will be.
 * @param {Pick<Context, 'cache'>} context
 */
export function kubernetesDirectory({ cache }) {
  return join(cache, 'tools', `kubernetes-${KUBERNETES_VERSION}-coredns-${COREDNS_VERSION}`, 'bin');
}

/**
 * @param {Pick<Context, 'cache'>} context
 * @param {readonly KubernetesSet[]} sets
 * @returns {KubernetesProgram[]}
 */
export function missingKubernetes(context, sets) {
  const directory = kubernetesDirectory(context);
  return KUBERNETES_PROGRAMS.filter(({ name, set }) => sets.includes(set) && !isExecutable(join(directory, name)));
}

/**
 * @param {Context} context
 * @param {readonly KubernetesSet[]} sets
 * @param {Fetch} [fetchBytes]
 * @returns {import('./npm.mjs').Change | undefined}
 */
export function planKubernetes(context, sets, fetchBytes = download) {
  const missing = missingKubernetes(context, sets);
  if (missing.length === 0) return undefined;
  const minutes = Math.ceil(minutesOf(missing));
  return {
    what:
      `${dirname(kubernetesDirectory(context))}: ${missing.map(({ name }) => name).join(', ')} of Kubernetes ${KUBERNETES_VERSION}, ` +
      `released binaries where they can be reached, else built from Go modules (about ${minutes} minutes with two processors, and 3 GB below your Go directories; Go itself is the Debian package golang-go if there is none)`,
    apply: () => acquire(context, missing, fetchBytes),
  };
}

/** @param {readonly KubernetesProgram[]} programs */
function minutesOf(programs) {
  return programs.reduce((sum, { minutes }) => sum + minutes, 0);
}

/**
 * Each is there entirely or not at all, and one after the other, so that a set-up that was cut off goes on where it was.
 * @param {Context} context
 * @param {readonly KubernetesProgram[]} programs
 * @param {Fetch} fetchBytes
 */
async function acquire(context, programs, fetchBytes) {
  const directory = kubernetesDirectory(context);
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(directory)) {
    if (name.startsWith('.work-')) rmSync(join(directory, name), { recursive: true, force: true });
  }
  const wanted = await obtainByDownloaders(context, programs, directory);
  const { left, failure } = await fetchReleases(wanted, directory, fetchBytes);
  if (left.length > 0) await build(context, left, directory, failure);
}

/**
 * What cannot be obtained is left.
 * @param {Context} context
 * @param {readonly KubernetesProgram[]} programs
 * @param {string} directory
 * @returns {Promise<KubernetesProgram[]>}
 */
async function obtainByDownloaders(context, programs, directory) {
  /** @type {KubernetesProgram[]} */
  const left = [];
  for (const program of programs) {
    const { name, obtain } = program;
    const path = join(directory, name);
    if (obtain !== undefined) {
      await step(`Trying the download of ${name}`, () => obtain(context, path), 'not possible').catch(() => {});
    }
    if (!isExecutable(path)) left.push(program);
  }
  return left;
}

/**
 * What cannot be fetched is left. The first failure is taken for all: either the site can be reached or it cannot.
 * @param {readonly KubernetesProgram[]} programs
 * @param {string} directory
 * @param {Fetch} fetchBytes
 * @returns {Promise<{left: readonly KubernetesProgram[], failure: Error}>}
 */
async function fetchReleases(programs, directory, fetchBytes) {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  let failure = new Error('there is no download of it');
  /** @type {KubernetesProgram[]} */
  const left = [];
  let reachable = true;
  for (const program of programs) {
    const url = program.release?.(architecture);
    if (url === undefined || !reachable) {
      left.push(program);
      continue;
    }
    try {
      await step(
        `Fetching ${program.name}`,
        () => fetchRelease(url, join(directory, program.name), fetchBytes),
        'not possible',
      );
    } catch (error) {
      if (error instanceof ToolError) throw error; // it came, and is not what it should be
      failure = /** @type {Error} */ (error);
      reachable = false;
      left.push(program);
    }
  }
  return { left, failure };
}

/**
 * @param {string} url
 * @param {string} path
 * @param {Fetch} fetchBytes
 */
async function fetchRelease(url, path, fetchBytes) {
  const said = Buffer.from(await fetchBytes(`${url}.sha256`, ANSWER_MS)).toString('utf8');
  const wanted = said.trim().split(/\s/)[0];
  const bytes = await fetchBytes(url, DOWNLOAD_MS);
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== wanted) throw new ToolError('KUBERNETES', `${url} has the sha256 ${found}, its release says ${wanted}`);
  const work = join(dirname(path), `.work-${basename(path)}`);
  writeFileSync(work, bytes, { mode: 0o755 });
  renameSync(work, path);
}

/** @type {Fetch} */
async function download(url, timeoutMs) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * Stock upstream, nothing patched.
 * @param {Context} context
 * @param {readonly KubernetesProgram[]} programs
 * @param {string} directory
 * @param {Error} failure of the download
 */
async function build(context, programs, directory, failure) {
  const go = await findGo(context, failure, { code: 'KUBERNETES', lack: 'Kubernetes is not in the cache' });
  const work = mkdtempSync(join(directory, '.work-'));
  try {
    for (const [i, program] of programs.entries()) {
      const { name, source, ldflags, test, prepare } = program;
      const left = programs.slice(i);
      const title = `Building ${name} from its Go modules (${left.length} to go, about ${Math.ceil(minutesOf(left))} minutes in all)`;
      const verb = test ? ['test', '-c'] : ['build'];
      const args = [...verb, '-trimpath', '-ldflags', ldflags, '-o', join(work, name), source];
      const cwd = (await prepare?.(context, go, work)) ?? join(context.root, 'tools', program.module);
      const env = { ...context.env, ...go.env, CGO_ENABLED: '0' };
      await step(title, (detail) => run(go.program, args, { cwd, env, onLine: detail }));
      chmodSync(join(work, name), 0o755);
      renameSync(join(work, name), join(directory, name));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  say(`Kubernetes ${KUBERNETES_VERSION} is in ${directory}`);
}

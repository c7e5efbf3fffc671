import { build as buildAll } from '../../build/build.ts';
import { makeEtcdArtifact } from '../../build/etcd.ts';
import { makeFlannelImage } from '../../build/flannel-image.ts';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';

/** Everything that nodes run, into dist/. What is up to date is left as it is. */
export async function build({ root, env }: Context): Promise<number> {
  await buildAll(root, env);
  return 0;
}

/** The container image for Kubernetes, into dist/ (docs/kubernetes.md). */
export async function flannelImage({ root, env }: Context): Promise<number> {
  await buildAll(root, env);
  const { file, name, sha256 } = await makeFlannelImage(root, env);
  say(`${file}: ${name}, sha256 ${sha256}`);
  return 0;
}

/** What etcd's machines in a cloud run, into dist/etcd (docs/etcd.md). */
export async function etcdArtifact({ root, env }: Context, { etcd = {} }: Options): Promise<number> {
  const { file, version, architecture, sha256 } = await makeEtcdArtifact(root, etcd, env);
  say(`${file}: etcd ${version} for ${architecture}, sha256 ${sha256}`);
  return 0;
}

/** A stack's cluster in the kubeconfigs of whoever runs the command. */
import { existsSync, readFileSync } from 'node:fs';
import { kubeconfigName } from '@flannel-ts/infra/node/kubernetes/credentials';
import { say } from '../../setup/progress.mjs';
import { currentContext, hasEntries, withEntries, withoutEntries } from './entries.ts';
import { changeKubeconfig, kubeconfigPaths, kubeconfigToAddTo } from './file.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export async function mergeKubeconfig(env: Environment, stack: string, added: string): Promise<void> {
  const name = kubeconfigName(stack);
  const path = filesWith(env, name)[0] ?? kubeconfigToAddTo(env);
  if (!(await changeKubeconfig(path, (text) => withEntries(text, added)))) return;
  const current = currentContext(readFileSync(path, 'utf8'));
  const use = current === name ? 'its current context' : `"kubectl config use-context ${name}" goes there`;
  say(`${path} has ${name}: ${use}`);
}

/** From all that have it; false if none has. A file that is not a kubeconfig has none of our entries. */
export async function removeFromKubeconfigs(env: Environment, stack: string): Promise<boolean> {
  const name = kubeconfigName(stack);
  const files = filesWith(env, name);
  for (const path of files) {
    if (await changeKubeconfig(path, (text) => withoutEntries(text, name))) say(`Removed ${name} from ${path}`);
  }
  return files.length > 0;
}

export function isInKubeconfigs(env: Environment, stack: string): boolean {
  return filesWith(env, kubeconfigName(stack)).length > 0;
}

function filesWith(env: Environment, name: string): string[] {
  return kubeconfigPaths(env).filter((path) => {
    try {
      return existsSync(path) && hasEntries(readFileSync(path, 'utf8'), name);
    } catch {
      return false;
    }
  });
}

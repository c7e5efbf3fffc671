/** Where stacks are kept: what the user has chosen, else in files of the cache. */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Context } from '../context.ts';

export interface Backend {
  /** The environment Pulumi runs in. */
  readonly env: NodeJS.ProcessEnv;
  /** Where the files are, if they are files of this machine. */
  readonly directory?: string;
  /** Nobody has chosen: they are in the cache, which people delete. */
  readonly inCache: boolean;
}

/** Makes the files it needs, and leaves those alone that are there. */
export function prepareBackend({ cache, env }: Context): Backend {
  const shared: NodeJS.ProcessEnv = {
    ...env,
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    ...passphrase(cache, env),
  };
  const chosen = chosenBackend(env);
  if (chosen !== undefined) return { env: shared, inCache: false, ...directoryOf(chosen, env) };
  const directory = join(cache, 'state');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const PULUMI_HOME = env.PULUMI_HOME ?? join(cache, 'pulumi-home');
  return {
    env: { ...shared, PULUMI_HOME, PULUMI_BACKEND_URL: pathToFileURL(directory).href },
    inCache: true,
    directory,
  };
}

/** An URL, or something that says that there is one: then Pulumi finds it by itself. */
function chosenBackend(env: NodeJS.ProcessEnv): string | undefined {
  if (env.PULUMI_BACKEND_URL) return env.PULUMI_BACKEND_URL;
  if (env.PULUMI_ACCESS_TOKEN) return 'https:'; // as CI systems log in
  const home = env.PULUMI_HOME ?? join(env.HOME || homedir(), '.pulumi');
  try {
    const { current } = JSON.parse(readFileSync(join(home, 'credentials.json'), 'utf8')) as { current?: string };
    return current || undefined;
  } catch {
    return undefined; // never logged in
  }
}

function directoryOf(url: string, env: NodeJS.ProcessEnv): { directory?: string } {
  if (!url.startsWith('file://')) return {};
  const [path = ''] = url.slice('file://'.length).split('?');
  return { directory: decodeURIComponent(path.replace(/^~/, env.HOME || homedir())) };
}

function passphrase(cache: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env.PULUMI_CONFIG_PASSPHRASE !== undefined || env.PULUMI_CONFIG_PASSPHRASE_FILE !== undefined) return {};
  const file = join(cache, 'passphrase');
  mkdirSync(cache, { recursive: true });
  const work = `${file}.${process.pid}`;
  writeFileSync(work, randomBytes(32).toString('base64url'), { mode: 0o600 });
  try {
    linkSync(work, file); // there entirely or not at all, and never in the place of another
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(work);
  }
  return { PULUMI_CONFIG_PASSPHRASE_FILE: file };
}

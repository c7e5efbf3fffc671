/** A gate: objects of a cluster are made once its API server answers, and not before. */
import https from 'node:https';
import * as pulumi from '@pulumi/pulumi';
import { parse } from 'yaml';

export interface ReadySettings {
  readonly limitMs: number;
  readonly everyMs: number;
}

/** Machines of a cloud boot, install and start in this time. */
const SETTINGS: ReadySettings = { limitMs: 15 * 60_000, everyMs: 2000 };
const ANSWER_MS = 5000;

/**
 * The same kubeconfig, secret, once the API server that it names is ready. A preview does not ask: there may be no cluster yet.
 * Give the result to `new k8s.Provider`, with `deleteUnreachable: true` where the cluster is removed in the same stack: a server that is
 * gone must not keep `destroy` from ending.
 */
export function whenReady(kubeconfig: pulumi.Input<string>, settings: ReadySettings = SETTINGS): pulumi.Output<string> {
  return pulumi.secret(kubeconfig).apply(async (text) => {
    if (!pulumi.runtime.isDryRun()) await untilReady(text, settings);
    return text;
  });
}

/** Rejects with the last answer when the time is over. */
export async function untilReady(kubeconfig: string, { limitMs, everyMs }: ReadySettings = SETTINGS): Promise<void> {
  const target = readTarget(kubeconfig);
  const end = performance.now() + limitMs;
  for (;;) {
    const answer = await askReady(target);
    if (answer === 'ok') return;
    if (performance.now() + everyMs > end) {
      throw new Error(
        `The API server ${target.server} was not ready within ${Math.round(limitMs / 1000)} s: ${answer}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

interface Target {
  readonly server: string;
  readonly tls: https.RequestOptions;
  readonly token?: string;
}

type Entry = { readonly name: string } & Readonly<Record<string, Readonly<Record<string, string>> | undefined>>;

/** With the data inside, as a stack's output has it: files of one machine mean nothing elsewhere. */
function readTarget(kubeconfig: string): Target {
  const config = parse(kubeconfig) as Readonly<Record<string, unknown>>;
  const find = (list: string, name: unknown, kind: string) =>
    ((config[list] ?? []) as readonly Entry[]).find((entry) => entry.name === name)?.[kind] ?? {};
  const context = find('contexts', config['current-context'], 'context');
  const cluster = find('clusters', context.cluster, 'cluster');
  const user = find('users', context.user, 'user');
  if (cluster.server === undefined) throw new Error('The kubeconfig has no server in its current context');
  const data = (text: string | undefined) => (text === undefined ? undefined : Buffer.from(text, 'base64'));
  const [ca, cert, key] = [
    data(cluster['certificate-authority-data']),
    data(user['client-certificate-data']),
    data(user['client-key-data']),
  ];
  return {
    server: cluster.server,
    tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
    ...(user.token !== undefined && { token: user.token }),
  };
}

/** "ok", or what is in the way. */
function askReady({ server, tls, token }: Target): Promise<string> {
  return new Promise((resolve) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const url = `${server.replace(/\/$/, '')}/readyz`;
    const request = https.get(url, { ...tls, headers, agent: false, timeout: ANSWER_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? 'ok' : `it answers with ${response.statusCode}`);
    });
    request.once('timeout', () => request.destroy(new Error('it does not answer')));
    request.on('error', (error) => resolve(error.message));
  });
}

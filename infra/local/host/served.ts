/** Waiting until the flanneld of a node has followed the network config, as it says itself. */
import { existsSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { InfraError } from '../../errors.ts';
import { statusSocket, subnetFile } from '../../node/files.ts';
import { parseEnvironment } from '../supervisor/descriptor.ts';
import { sameValue } from './resource.ts';

/** What a node serves by once it has followed all that changed. */
export interface Served {
  /** The network config as it is in etcd. */
  readonly network: string;
  readonly podMtu: number;
}

/** Of flanneld's /status, what is looked at here. */
interface Answer {
  readonly ready: boolean;
  readonly troubles: readonly { readonly part: string; readonly trouble: string }[];
  readonly details: readonly string[];
  readonly node?: { readonly networkConfig: object };
}

const POLL_MS = 50;
const ANSWER_MS = 2_000;
/** For so long a node may still say that it cannot follow a config which has been replaced by now. */
const REFUSAL_MS = 2_000;

/** Throws with what flanneld says when it does not follow. */
export async function waitUntilServes(
  { machine, serves }: { readonly machine: string; readonly serves: Served },
  root: string,
  timeoutMs: number,
): Promise<void> {
  const wanted = JSON.parse(serves.network) as object;
  const begun = Date.now();
  for (;;) {
    const answer = await ask(statusSocket(root));
    const follows = sameValue(answer?.node?.networkConfig, wanted);
    if (follows && answer!.ready && writtenMtu(root) === serves.podMtu) return;
    const waited = Date.now() - begun;
    const refusal = follows ? undefined : answer?.details.find((detail) => detail.startsWith('network config: '));
    if (waited > timeoutMs || (refusal !== undefined && waited > REFUSAL_MS)) {
      throw new InfraError('NOT_READY', notServing(machine, answer, refusal, serves, Math.round(waited / 1000)));
    }
    await sleep(POLL_MS);
  }
}

/** Whatever it serves by: its lease and its config are Kubernetes' affair. Throws with what it says when it does not become ready. */
export async function waitUntilReady(machine: string, root: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask(statusSocket(root));
    if (answer?.ready) return;
    if (Date.now() > deadline) {
      const troubles = answer?.troubles.map(({ part, trouble }) => `${part}: ${trouble}`).join('; ');
      const why = troubles === undefined ? 'does not answer' : `is not ready: ${troubles}`;
      throw new InfraError('NOT_READY', `flanneld on ${machine} ${why} after ${Math.round(timeoutMs / 1000)} s`);
    }
    await sleep(POLL_MS);
  }
}

function notServing(
  machine: string,
  answer: Answer | undefined,
  refusal: string | undefined,
  { network, podMtu }: Served,
  seconds: number,
): string {
  if (answer === undefined) return `flanneld on ${machine} does not answer after ${seconds} s`;
  if (refusal !== undefined)
    return `flanneld on ${machine} does not follow: ${refusal.replace(/^network config: /, '')}`;
  const troubles = answer.troubles.map(({ part, trouble }) => `${part}: ${trouble}`);
  const serving = answer.node === undefined ? 'none' : JSON.stringify(answer.node.networkConfig);
  const why = troubles.length === 0 ? '' : `; it says: ${troubles.join('; ')}`;
  return `flanneld on ${machine} does not serve by ${network} with MTU ${podMtu} after ${seconds} s, its network config is ${serving}${why}`;
}

function writtenMtu(root: string): number | undefined {
  const file = subnetFile(root);
  if (!existsSync(file)) return undefined;
  const mtu = parseEnvironment(readFileSync(file, 'utf8')).FLANNEL_MTU;
  return mtu === undefined ? undefined : Number(mtu);
}

/** Undefined while nothing answers. */
function ask(socketPath: string): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const request = get({ socketPath, path: '/status', agent: false, timeout: ANSWER_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(parseAnswer(text)));
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(undefined));
    request.once('close', () => resolve(undefined));
  });
}

function parseAnswer(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return undefined; // cut off: the process is ending
  }
}

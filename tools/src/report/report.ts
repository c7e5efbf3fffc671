/** What `up` and `status` show of a stack. */
import { setTimeout } from 'node:timers/promises';
import { wrap } from '@flannel-ts/daemon/operate/show/layout';
import { flag } from '../pulumi/names.ts';
import { terminalWidth } from '../terminal.ts';
import { askNodes, type NodeStates } from './daemons.ts';
import { formatNodes, formatPods, formatStack, isStarting } from './nodes.ts';
import type { NodeOutput, Outputs, PodOutput } from './outputs.ts';
import { formatReachability, measure, type Pair, unreachablePairs } from './reachability.ts';
import { formatNodeTroubles, isWell } from './troubles.ts';

export interface Findings {
  /** Every pod reaches every other. */
  readonly reachable: boolean;
  /** Every flanneld says that its node is ready. */
  readonly ready: boolean;
}

/**
 * Prints nodes, pods and which pods reach each other; and what the nodes say is not well if pods do not reach each other, or
 * `always`: right after a change, nodes wait for first answers while pods talk already.
 */
export async function report(
  stack: string,
  outputs: Outputs,
  { patienceMs = 0, always = false }: { readonly patienceMs?: number; readonly always?: boolean },
): Promise<Findings> {
  const { nodes, pods } = outputs;
  const width = terminalWidth();
  const first = await settledStates(stack, nodes);
  print(`\n${formatStack(outputs, first, width)}\n`);
  print(formatNodes(nodes, first, width, Date.now()));
  if (pods.length > 0) print(`\n${formatPods(nodes, pods, width)}`);
  const reachable = pods.length < 2 || (await reportReachability(stack, pods, patienceMs));
  const states = await askStates(stack, nodes);
  if (always || !reachable) printTroubles(stack, states, width);
  return { reachable, ready: [...states.values()].every(isWell) };
}

const FIRST_ANSWERS_MS = 6000;
const LOOK_AGAIN_MS = 250;

/** Right after a start a moment later, when the nodes know who answers. */
async function settledStates(stack: string, nodes: readonly NodeOutput[]): Promise<NodeStates> {
  const end = performance.now() + FIRST_ANSWERS_MS;
  for (;;) {
    const states = await askStates(stack, nodes);
    const isEarly = [...states.values()].some(({ status }) => status !== undefined && isStarting(status));
    if (!isEarly || performance.now() > end) return states;
    await setTimeout(LOOK_AGAIN_MS);
  }
}

/** The nodes alone, as far as they are there: of a stack without outputs. */
export async function reportNodes(stack: string, nodes: readonly NodeOutput[]): Promise<NodeStates> {
  const states = await askStates(stack, nodes);
  print(formatNodes(nodes, states, terminalWidth(), Date.now()));
  return states;
}

export function printTroubles(stack: string, states: NodeStates, width: number): void {
  const text = formatNodeTroubles(stack, states, width);
  if (text !== '') print(`${text}\n`);
}

function askStates(stack: string, nodes: readonly NodeOutput[]): Promise<NodeStates> {
  return askNodes(
    stack,
    nodes.map(({ name }) => name),
  );
}

async function reportReachability(stack: string, pods: readonly PodOutput[], patienceMs: number): Promise<boolean> {
  const width = terminalWidth();
  const reachability = await measure(pods, { patienceMs });
  const heading = wrap('Round-trip times between pods, in ms (from the left to the top):', width);
  print(`\n${heading}\n${formatReachability(reachability, width)}\n`);
  const missing = unreachablePairs(reachability);
  if (missing.length > 0) print(`${wrap(formatMissing(missing, reachability.pods, stack), width)}\n`);
  return missing.length === 0;
}

/** More pairs are a list that nobody reads. */
const PAIRS_SHOWN = 8;

/** The pairs, as many as one reads; the node that all of them have in common; and what to do next. */
export function formatMissing(missing: readonly Pair[], pods: readonly PodOutput[], stack: string): string {
  const shown = missing.slice(0, PAIRS_SHOWN).map(({ from, to }) => `${from.name} -> ${to.name}`);
  const more = missing.length > shown.length ? ` and ${missing.length - shown.length} more` : '';
  const nodes = [...new Set(pods.map(({ node }) => node))];
  const common = nodes.filter((node) => missing.every(({ from, to }) => from.node === node || to.node === node));
  const [suspect = missing[0]!.from.node] = common;
  const named = stack === 'local' ? '' : `--stack ${stack} `;
  const hint =
    common.length === 1 && nodes.length > 2
      ? `All of them involve ${suspect}: "npm run logs -- ${named}${suspect}" shows why`
      : `"npm run logs -- ${named}${suspect}" shows what flanneld says there`;
  return `No answer: ${shown.join(', ')}${more}. ${hint}, "npm run up${flag(stack)}" repairs what is broken`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

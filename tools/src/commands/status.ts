import { formatStatus } from '@flannel-ts/daemon/operate/show/status-text';
import { listStackAddresses } from '@flannel-ts/infra/local/host/addresses';
import { ToolError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import { readOutputs } from '../pulumi/stack.ts';
import { askNode, askNodes, type NodeState } from '../report/daemons.ts';
import { asOutputs, type NodeOutput } from '../report/outputs.ts';
import { printTroubles, report, reportNodes } from '../report/report.ts';
import { formatNodeTroubles, isWell } from '../report/troubles.ts';
import { terminalWidth } from '../terminal.ts';

/** Ends with 1 if pods do not reach each other, or a node is not ready. */
export async function status(context: Context, { stack, json, words: [node] }: Options): Promise<number> {
  if (node !== undefined) return nodeStatus(stack, node, json);
  const value = await readOutputs(new Pulumi(context), stack);
  const outputs = asOutputs(value);
  if (json) {
    const names = (outputs?.nodes ?? nodesHere(stack)).map(({ name }) => name);
    const flanneld = Object.fromEntries(
      [...(await askNodes(stack, names))].map(([name, state]) => [name, said(state)]),
    );
    printJson({ ...(value as object), flanneld });
    return 0;
  }
  if (outputs === undefined) return incomplete(stack);
  const { reachable, ready } = await report(stack, outputs, { always: true });
  return reachable && ready ? 0 : 1;
}

/** What "flanneld status" says on the node. */
async function nodeStatus(stack: string, node: string, json: boolean): Promise<number> {
  const nodes = nodesHere(stack).map(({ name }) => name);
  if (!nodes.includes(node)) {
    const remedy =
      nodes.length === 0
        ? `"npm run stacks" lists the stacks, "npm run up${flag(stack)}" creates this one`
        : `use one of ${nodes.join(', ')}`;
    throw new ToolError('NO_NODE', `Stack "${stack}" has no node "${node}" on this machine: ${remedy}`);
  }
  const state = await askNode(stack, node);
  const width = terminalWidth();
  if (json) printJson(said(state));
  else if (state.status !== undefined) process.stdout.write(`${formatStatus(state.status, width, Date.now())}\n`);
  else process.stdout.write(`${formatNodeTroubles(stack, new Map([[node, state]]), width)}\n`);
  return isWell(state) ? 0 : 1;
}

/** An `up` did not end, so there are no outputs: what can be seen of the nodes without them. */
async function incomplete(stack: string): Promise<number> {
  const nodes = nodesHere(stack);
  const remedy = `"npm run up${flag(stack)}" continues it, "npm run down${flag(stack)}" removes it`;
  if (nodes.length > 0) printTroubles(stack, await reportNodes(stack, nodes), terminalWidth());
  say(
    `Stack "${stack}" is incomplete, ${nodes.length === 0 ? 'and has no nodes yet' : 'its pods are not listed'}: ${remedy}`,
  );
  return 1;
}

function nodesHere(stack: string): NodeOutput[] {
  const number = ({ name }: NodeOutput) => Number(/\d+$/.exec(name)?.[0]);
  return listStackAddresses(stack)
    .filter(({ name }) => /^node-\d+$/.test(name))
    .sort((a, b) => number(a) - number(b));
}

function said({ status: answer, problem }: NodeState): object {
  return answer ?? { ready: false, problem };
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

import { delimiter, join } from 'node:path';
import { assertChecks, checkNamespaces, checkNode, checkPlatform, checkRoot, checkTun } from './checks.mjs';
import { planPackages } from './debian.mjs';
import { endChildrenFirst } from './interrupt.mjs';
import { kubernetesDirectory, planKubernetes } from './kubernetes.mjs';
import { withLock } from './lock.mjs';
import { planMoto } from './moto.mjs';
import { planBun, planNpm } from './npm.mjs';
import { say } from './progress.mjs';
import { findPulumi, planPulumi } from './pulumi.mjs';

/**
 * What a command needs of the machine.
 * @typedef {object} Needs
 * @property {boolean} [root] Linux and root
 * @property {boolean} [network] network namespaces and TUN devices can be made
 * @property {readonly import('./debian.mjs').Purpose[]} [packages]
 * @property {boolean} [pulumi]
 * @property {boolean} [moto] the emulation of AWS's API
 * @property {readonly import('./kubernetes.mjs').KubernetesSet[]} [kubernetes]
 */

/** @typedef {import('./context.mjs').Context} Context */

/**
 * Brings this machine to where a command can run. Says what it is going to change before it changes anything, and says
 * nothing and changes nothing where nothing is missing.
 * @param {Context} context
 * @param {Needs} needs
 * @returns {Promise<void>}
 */
export async function setUp(context, needs) {
  assertChecks([checkNode, checkPlatform, ...(needs.root ? [checkRoot] : [])]);
  if ((await plan(context, needs)).length > 0) {
    // One for all checkouts: the Debian packages and the Pulumi CLI are the machine's.
    await withLock(join(context.cache, 'setup.lock'), 'the set-up', () => change(context, needs));
  }
  if (needs.network) assertChecks([checkTun, checkNamespaces]); // with util-linux, which may just have been installed
  if (needs.pulumi) usePulumi(context, await findPulumi(context));
  // Any command on a stack may need it; where it is not, one that does says so.
  if (needs.pulumi || needs.kubernetes?.includes('pulumi')) useProvider(context);
}

/**
 * All changes that are due. Each part is planned by looking at the machine and nothing else, so that an interrupted set-up
 * goes on where it was.
 * @param {Context} context
 * @param {Needs} needs
 */
async function plan(context, needs) {
  const npm = planNpm(context);
  const changes = [
    needs.packages ? planPackages(context, new Set(needs.packages)) : undefined,
    npm,
    npm ? undefined : planBun(context),
    needs.pulumi ? await planPulumi(context) : undefined,
    needs.moto ? planMoto(context) : undefined,
    needs.kubernetes ? planKubernetes(context, needs.kubernetes) : undefined,
  ];
  return changes.filter((item) => item !== undefined);
}

/**
 * @param {Context} context
 * @param {Needs} needs
 */
async function change(context, needs) {
  const changes = await plan(context, needs); // another process may have done it meanwhile
  if (changes.length === 0) return;
  say(['Set-up changes on this machine:', ...changes.map(({ what }) => `  - ${what}`)].join('\n'));
  await endChildrenFirst(async () => {
    for (const { apply } of changes) await apply();
    await planBun(context)?.apply();
  });
}

/**
 * @param {Context} context
 * @param {string | undefined} directory
 */
function usePulumi(context, directory) {
  if (directory === undefined) throw new Error('The set-up left no Pulumi CLI');
  context.env.PATH = `${directory}${delimiter}${context.env.PATH ?? ''}`;
}

/**
 * Pulumi finds it on PATH. Last: other programs in there are no commands for people.
 * @param {Context} context
 */
function useProvider(context) {
  const directory = kubernetesDirectory(context);
  const present = (context.env.PATH ?? '').split(delimiter);
  if (!present.includes(directory)) context.env.PATH = [...present, directory].join(delimiter);
}

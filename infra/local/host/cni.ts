/**
 * The runtime's side of CNI: executes the plugins of a node's conflist in the node's network, with the variables and the
 * standard input that the specification prescribes (CNI 1.1.0, section 4), and remembers results as libcni does.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { InfraError } from '../../errors.ts';
import { conflistFile, pluginDirectory } from '../../node/files.ts';
import { runCommand } from './command.ts';
import { writeWhole } from './files.ts';

/** One interface of one sandbox. */
export interface Attachment {
  readonly container: string;
  /** Path of the sandbox's namespace. */
  readonly sandbox: string;
  readonly interface: string;
  /** Where the node's file system begins. */
  readonly root: string;
  /** The node's namespace: plugins work there. */
  readonly netns: string;
}

export interface CniResult {
  readonly cniVersion?: string;
  readonly ips?: readonly { readonly address: string }[];
}

interface NetworkList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly { readonly type: string }[];
}

const TIMEOUT_MS = 30_000;

/** ADD through the list; each plugin gets the result of the one before. Undone if one of them fails. */
export async function addNetwork(attachment: Attachment): Promise<CniResult> {
  const list = readList(attachment);
  let result: CniResult | undefined;
  try {
    for (const plugin of list.plugins) {
      result = JSON.parse(await execute('ADD', attachment, list, plugin, result)) as CniResult;
    }
  } catch (error) {
    await deleteNetwork(attachment).catch(() => {}); // the first error says what is wrong
    throw error;
  }
  writeWhole(resultFile(attachment, list), JSON.stringify(result), 0o600);
  return result!;
}

/** CHECK through the list. Throws the plugin's error. */
export async function checkNetwork(attachment: Attachment): Promise<void> {
  const list = readList(attachment);
  const result = readResult(attachment, list);
  if (result === undefined) throw new InfraError('CNI_FAILED', `${attachment.container} has no network result`);
  for (const plugin of list.plugins) await execute('CHECK', attachment, list, plugin, result);
}

/** DEL through the list, from its end. One that is not there is no error. */
export async function deleteNetwork(attachment: Attachment): Promise<void> {
  const list = readList(attachment);
  const result = readResult(attachment, list);
  for (const plugin of [...list.plugins].reverse()) await execute('DEL', attachment, list, plugin, result);
  rmSync(resultFile(attachment, list), { force: true });
}

/** Whether an ADD succeeded that was not followed by a DEL. */
export function remembersNetwork(attachment: Attachment): boolean {
  return existsSync(rememberedFile(attachment));
}

/** Removes the remembered result, when the node is not there any more to be asked. */
export function forgetNetwork(attachment: Attachment): void {
  rmSync(rememberedFile(attachment), { force: true });
}

async function execute(
  command: 'ADD' | 'CHECK' | 'DEL',
  attachment: Attachment,
  list: NetworkList,
  plugin: { readonly type: string },
  previous: CniResult | undefined,
): Promise<string> {
  const path = pluginDirectory(attachment.root);
  const configuration = {
    ...plugin,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(previous && { prevResult: previous }),
  };
  const { code, stdout, stderr } = await runCommand([join(path, plugin.type)], {
    netns: attachment.netns,
    environment: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: attachment.container,
      CNI_NETNS: attachment.sandbox,
      CNI_IFNAME: attachment.interface,
      CNI_PATH: path,
    },
    input: JSON.stringify(configuration),
    timeoutMs: TIMEOUT_MS,
  });
  if (code === 0) return stdout;
  throw new InfraError(
    'CNI_FAILED',
    `Cannot ${command} ${attachment.container} by ${plugin.type}: ${pluginError(stdout, stderr)}`,
  );
}

/** Plugins say what is wrong as JSON on stdout. */
function pluginError(stdout: string, stderr: string): string {
  try {
    const { code, msg, details } = JSON.parse(stdout) as { code?: number; msg?: string; details?: string };
    return `${msg ?? 'no message'}${details ? `; ${details}` : ''} (CNI code ${code})`;
  } catch {
    return (stderr || stdout).trim() || 'it said nothing';
  }
}

function readList({ root }: Attachment): NetworkList {
  const path = conflistFile(root);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as NetworkList;
  } catch (error) {
    throw new InfraError('CNI_FAILED', `Cannot read the network list ${path}`, { cause: error });
  }
}

function readResult(attachment: Attachment, list: NetworkList): CniResult | undefined {
  try {
    return JSON.parse(readFileSync(resultFile(attachment, list), 'utf8')) as CniResult;
  } catch {
    return undefined; // after a failed ADD there is none
  }
}

function rememberedFile(attachment: Attachment): string {
  return resultFile(attachment, { name: 'flannel' });
}

/** Named as libcni's cache is. */
function resultFile(attachment: Attachment, { name }: Pick<NetworkList, 'name'>): string {
  return join(attachment.root, 'var/lib/cni/results', `${name}-${attachment.container}-${attachment.interface}`);
}

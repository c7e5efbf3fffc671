import { isErrno } from '@flannel-ts/linux/errors';
import { type RunOutcome, runProgram } from '@flannel-ts/linux/run-program';
import { nftEnvironment } from '@flannel-ts/nft/outcome';
import type { Deadline } from './deadline.ts';
import { CniError, ErrorCode } from './errors.ts';

/**
 * Masquerading as the reference bridge plugin does it (containernetworking/plugins pkg/ip/ipmasq_iptables_linux.go): a chain for each container
 * in the nat table, to which POSTROUTING leads for each address. A node that changes over to this plugin has them for its
 * older pods. It is only looked at for containers that this plugin has no file of.
 */
const PROGRAMS = ['iptables', 'ip6tables'] as const;
type Program = (typeof PROGRAMS)[number];

export interface Attachment {
  readonly network: string;
  readonly containerId: string;
}

/** 28 characters, which iptables leaves room for. */
export function chainOf({ network, containerId }: Attachment): string {
  // Loaded here: nothing else needs it, and it takes Bun longer than an ADD's netlink.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return `CNI-${createHash('sha512').update(`${network}${containerId}`).digest('hex')}`.slice(0, 28);
}

/** What takes the chain out of the rules that `iptables -t nat -S` has listed; undefined when it is not there. */
export function removalOf(chain: string, listed: string): string | undefined {
  const lines = listed.split('\n');
  if (!lines.includes(`-N ${chain}`)) return undefined;
  const jumps = lines.filter((line) => line.startsWith('-A ') && line.endsWith(` -j ${chain}`));
  return ['*nat', ...jumps.map((line) => line.replace('-A', '-D')), `-F ${chain}`, `-X ${chain}`, 'COMMIT', ''].join(
    '\n',
  );
}

export function hasReferenceMasquerade(attachment: Attachment, deadline: Deadline): boolean {
  const chain = chainOf(attachment);
  return PROGRAMS.some((program) => removalOf(chain, list(program, deadline)) !== undefined);
}

export function removeReferenceMasquerade(attachment: Attachment, deadline: Deadline): void {
  const chain = chainOf(attachment);
  for (const program of PROGRAMS) {
    const removal = removalOf(chain, list(program, deadline));
    if (removal === undefined) continue;
    const outcome = runTables(`${program}-restore`, ['--noflush', '-w', '5'], deadline, removal);
    if (outcome !== undefined && outcome.status !== 0) {
      throw new CniError(ErrorCode.internal, `${program} kept the chain ${chain}: ${outcome.stderr.trim()}`);
    }
  }
}

/** Empty without the program, and without the table. */
function list(program: Program, deadline: Deadline): string {
  const outcome = runTables(program, ['-w', '5', '-t', 'nat', '-S'], deadline);
  return outcome?.status === 0 ? outcome.stdout : '';
}

function runTables(program: string, args: readonly string[], deadline: Deadline, input = ''): RunOutcome | undefined {
  const timeoutMs = deadline.within(10_000, `run ${program}`);
  try {
    return runProgram(program, args, { env: nftEnvironment(), input, timeoutMs });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

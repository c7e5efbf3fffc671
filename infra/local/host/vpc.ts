/** The VPC: a namespace with a bridge, to which every machine is connected, and the gateway's address on it. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { formatInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { netnsExists } from '@flannel-ts/linux/netns';
import { ensureAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { ensureBridge } from '@flannel-ts/rtnetlink/link-add';
import { netnsName, netnsPath, stackDirectory, VPC, VPC_BRIDGE } from '../names.ts';
import { pruneEmpty, withStackLock } from './files.ts';
import { ensureNetns, removeNetns } from './namespaces.ts';
import { machineProblems } from './requirements.ts';
import { ABSENT, handler } from './resource.ts';

export interface VpcInputs {
  readonly stack: string;
  readonly cidr: string;
  readonly gateway: string;
  readonly mtu: number;
  /** flannel's Backend object: what the kernel must be able to do for it is checked before anything is created. */
  readonly backend: object;
}

export interface VpcOutputs {
  readonly netns: string;
}

export const vpc = handler<VpcInputs, VpcOutputs>({
  id: ({ stack, cidr }) => `${netnsName(stack, VPC)}@${cidr}`,
  identity: ['stack', 'cidr', 'gateway'],
  ignored: ['backend'],
  check: ({ backend }) => machineProblems(parseBackendConfig(backend)),
  async ensure(inputs) {
    withStackLock(inputs.stack, () => ensureVpc(inputs));
    return { netns: netnsName(inputs.stack, VPC) };
  },
  async observe(vpcProps) {
    if (!netnsExists(netnsPath(vpcProps.stack, VPC))) return ABSENT;
    const drift = vpcProblem(vpcProps);
    return { present: true, ...(drift && { drift }) };
  },
  async remove({ stack }) {
    await removeNetns(netnsPath(stack, VPC));
    // The last of the stack's things: with it go what the others shared.
    rmSync(join(stackDirectory(stack), 'supervisor'), { recursive: true, force: true });
    rmSync(join(stackDirectory(stack), 'lock'), { force: true });
    pruneEmpty(join(stackDirectory(stack), 'nodes'));
    pruneEmpty(join(stackDirectory(stack), 'artifacts'));
    pruneEmpty(stackDirectory(stack));
  },
});

function ensureVpc({ stack, cidr, gateway, mtu }: VpcInputs): void {
  const netns = netnsPath(stack, VPC);
  ensureNetns(netns);
  withNetlink({ netns }, (nl) => {
    const bridge = ensureBridge(nl, { name: VPC_BRIDGE });
    // Set in any case: a bridge whose MTU nobody set takes the smallest of its ports'.
    setLink(nl, bridge.index, { mtu });
    ensureAddress(nl, { index: bridge.index, address: gatewayAddress(cidr, parseIp(gateway, 4)) });
    setLink(nl, bridge.index, { up: true });
  });
}

function vpcProblem({ stack, cidr, gateway, mtu }: VpcInputs): string | undefined {
  return withNetlink({ netns: netnsPath(stack, VPC) }, (nl) => {
    const bridge = getLink(nl, VPC_BRIDGE);
    if (bridge === undefined) return `Bridge ${VPC_BRIDGE} is missing`;
    if (!bridge.up) return `Bridge ${VPC_BRIDGE} is down`;
    if (bridge.mtu !== mtu) return `Bridge ${VPC_BRIDGE} has MTU ${bridge.mtu} instead of ${mtu}`;
    const wanted = formatInterfaceAddress(gatewayAddress(cidr, parseIp(gateway, 4)));
    const has = listAddresses(nl, { index: bridge.index, family: 4 }).map(({ address }) =>
      formatInterfaceAddress(address),
    );
    return has.includes(wanted) ? undefined : `Bridge ${VPC_BRIDGE} has not the address ${wanted}`;
  });
}

function gatewayAddress(cidr: string, gateway: Ipv4) {
  return { address: gateway, length: parsePrefix(cidr, 4).length };
}

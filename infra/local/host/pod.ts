/** A pod: a sandbox namespace, connected by the node's CNI plugin as a container runtime would have it done. */

import { existsSync } from 'node:fs';
import { formatIp } from '@flannel-ts/inet/ip';
import { parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { netnsExists } from '@flannel-ts/linux/netns';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { conflistFile } from '../../node/files.ts';
import { MACHINE_INTERFACE, machineRoot, netnsName, netnsPath } from '../names.ts';
import { type Attachment, addNetwork, checkNetwork, deleteNetwork, forgetNetwork, remembersNetwork } from './cni.ts';
import { ensureNetns, removeNetns } from './namespaces.ts';
import { podMtuProblem, setPodMtu } from './pod-mtu.ts';
import { ABSENT, handler, messageOf } from './resource.ts';

export interface PodInputs {
  readonly stack: string;
  readonly pod: string;
  /** The node's machine. */
  readonly node: string;
  /** Its id: pods go with their node. */
  readonly host: string;
  /** What the node's subnet file says. A pod of another subnet is made anew, one with another MTU gets this one while it runs. */
  readonly podSubnet: string;
  readonly podMtu: number;
}

export interface PodOutputs {
  readonly address: string;
  readonly netns: string;
}

export const pod = handler<PodInputs, PodOutputs>({
  id: ({ stack, pod: name }) => netnsName(stack, name),
  identity: ['stack', 'pod', 'node', 'host'],
  async ensure(inputs, old) {
    const attachment = attachmentOf(inputs);
    if (await hasNetwork(inputs, old)) {
      setPodMtu(attachment, inputs.podMtu);
      return { address: old!.address, netns: netnsPath(inputs.stack, inputs.pod) };
    }
    // What is left of an earlier attempt, or of a sandbox that somebody removed: its address is still taken. A kubelet too
    // cleans up before it tries a sandbox again.
    if (netnsExists(attachment.sandbox) || remembersNetwork(attachment)) await releaseNetwork(attachment);
    await removeNetns(attachment.sandbox);
    ensureNetns(attachment.sandbox);
    const result = await addNetwork(attachment);
    return { address: addressOf(result), netns: netnsPath(inputs.stack, inputs.pod) };
  },
  async observe(props) {
    const attachment = attachmentOf(props);
    if (!netnsExists(attachment.sandbox) || !netnsExists(attachment.netns)) return ABSENT;
    const drift = (await networkProblem(attachment)) ?? podMtuProblem(attachment, props.podMtu);
    return { present: true, ...(drift && { drift }) };
  },
  async remove(props) {
    const attachment = attachmentOf(props);
    await releaseNetwork(attachment);
    await removeNetns(attachment.sandbox);
    forgetNetwork(attachment);
  },
});

/** DEL, unless the node's network or its files have gone, and with them everything that DEL would undo. */
async function releaseNetwork(attachment: Attachment): Promise<void> {
  if (netnsExists(attachment.netns) && existsSync(conflistFile(attachment.root))) await deleteNetwork(attachment);
}

/** Whether the pod may stay as it is: on the network it was made for, and in good order. */
async function hasNetwork(inputs: PodInputs, old: (PodInputs & PodOutputs) | undefined): Promise<boolean> {
  if (!old?.address || old.podSubnet !== inputs.podSubnet) return false;
  const attachment = attachmentOf(inputs);
  return netnsExists(attachment.sandbox) && (await networkProblem(attachment)) === undefined;
}

async function networkProblem(attachment: Attachment): Promise<string | undefined> {
  const link = withNetlink({ netns: attachment.sandbox }, (nl) => getLink(nl, attachment.interface));
  if (link === undefined) return `${attachment.container} has no ${attachment.interface}`;
  try {
    await checkNetwork(attachment);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function attachmentOf({ stack, pod: name, node }: PodInputs): Attachment {
  return {
    container: netnsName(stack, name),
    sandbox: netnsPath(stack, name),
    interface: MACHINE_INTERFACE,
    root: machineRoot(stack, node),
    netns: netnsPath(stack, node),
  };
}

/** The pod's IPv4 address in a CNI result, without its prefix length. */
function addressOf(result: { readonly ips?: readonly { readonly address: string }[] }): string {
  const ip = result.ips?.find(({ address }) => address.includes('.'));
  return ip === undefined ? '' : formatIp(parseInterfaceAddress(ip.address).address);
}

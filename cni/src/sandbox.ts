import { isIpv6 } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import { formatInterfaceAddress, type InterfaceAddress } from '@flannel-ts/inet/prefix';
import { withNetns } from '@flannel-ts/linux/enter-netns';
import type { Fd } from '@flannel-ts/linux/files';
import { addAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { ensureLinkAbsent, getLink, type Link, setBridgePort, setLink } from '@flannel-ts/rtnetlink/link';
import { addVeth } from '@flannel-ts/rtnetlink/link-add';
import { appendRoute, type RouteSpec } from '@flannel-ts/rtnetlink/route';
import { setIpv6 } from './bridge.ts';
import type { Deadline } from './deadline.ts';
import { CniError, ErrorCode } from './errors.ts';
import { sleep } from './sleep.ts';

/** A pod's interface, wholly decided before the kernel is touched. */
export interface SandboxPlan {
  readonly netns: Fd;
  /** What the runtime calls it. */
  readonly netnsPath: string;
  readonly ifName: string;
  readonly hostName: string;
  readonly mac: Mac;
  readonly hostMac: Mac;
  readonly mtu: number | undefined;
  /** Look for others with the same IPv6 addresses, as the kernel does where nobody assigns them. */
  readonly detectDuplicates: boolean;
  /** The node is the router: another pod that claims to be one is not believed. */
  readonly refuseAdvertisements: boolean;
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly RouteSpec[];
  /** The pod sets it up by itself. */
  readonly staysDown: boolean;
}

export interface PortSettings {
  readonly hairpin: boolean;
  readonly isolated: boolean;
}

/**
 * The veth pair, its pod end made in the pod's namespace at once: moving it there later would hold the kernel's one lock
 * for network configuration twice (amazon-vpc-cni-k8s #3764).
 */
export function createPair(nl: Netlink, plan: SandboxPlan, bridge: Link): Link {
  const { hostName, hostMac, ifName, mac, mtu, netns } = plan;
  try {
    const peer = { name: ifName, mtu, mac, netns };
    return addVeth(nl, { name: hostName, mtu, mac: hostMac, master: bridge.index, peer });
  } catch (error) {
    if (!isNetlinkError(error, 'EEXIST')) throw error;
    throw explainExisting(plan);
  }
}

/** EEXIST says that one of the two names is taken, but not which. */
function explainExisting(plan: SandboxPlan): CniError {
  const inPod = withNetlink({ netns: plan.netns }, (pod) => getLink(pod, plan.ifName));
  if (inPod !== undefined) {
    return new CniError(
      ErrorCode.interfaceExists,
      `container veth name "${plan.ifName}" already exists in ${plan.netnsPath}`,
      'it was left as it is',
    );
  }
  return new CniError(
    ErrorCode.interfaceExists,
    `host interface ${plan.hostName} of this container already exists`,
    'an earlier DEL did not come through: send DEL, then ADD again',
  );
}

/** The host's end goes up as a port of the bridge, and nothing that IPv6 of the host would listen on. */
export function connectPort(nl: Netlink, port: Link, settings: PortSettings): void {
  setIpv6(port.name, 'accept_ra', 0, true);
  setIpv6(port.name, 'disable_ipv6', 1, true);
  setLink(nl, port.index, { up: true });
  if (settings.hairpin || settings.isolated) setBridgePort(nl, port.index, settings);
}

/**
 * The kernel lets a port forward some time after both ends are up (linkwatch, a work queue), and drops packets until then:
 * a pod that is reported as ready must not lose its first ones. The reference plugin waits in steps from 50 ms to 1 s.
 */
export function awaitForwarding(nl: Netlink, port: Link, deadline: Deadline): void {
  const limit = deadline.within(FORWARDING_TIMEOUT_MS, 'wait for the bridge to forward');
  const end = performance.now() + limit;
  for (let pause = 0.25; ; pause = Math.min(2 * pause, 20)) {
    const state = getLink(nl, port.index)?.port?.state;
    if (state !== undefined && READY_STATES.includes(state)) return;
    if (performance.now() >= end) {
      throw new CniError(
        ErrorCode.tryAgainLater,
        `port ${port.name} of the bridge does not forward after ${limit} ms`,
        `its state is ${state ?? 'gone'}; is the bridge down?`,
      );
    }
    sleep(pause);
  }
}

/**
 * Listening, learning, forwarding (linux/if_bridge.h). The first two only on a bridge that runs STP, which is an operator's
 * own and takes 30 s.
 */
const READY_STATES: readonly number[] = [1, 2, 3];
const FORWARDING_TIMEOUT_MS = 5000;

/** The pod's end: addresses, up, routes, in this order (the kernel takes a gateway only if it is on a link that is up). */
export function configureContainer(plan: SandboxPlan, index: number, deadline: Deadline): void {
  setContainerSysctls(plan);
  withNetlink({ netns: plan.netns }, (pod) => {
    for (const address of plan.addresses) {
      // The address is ours alone: waiting for duplicate address detection cost others seconds (kubernetes #54651).
      const noDad = isIpv6(address.address) && !plan.detectDuplicates;
      addAddress(pod, { index, address, broadcast: 'auto', noDad });
    }
    if (!plan.staysDown) setLink(pod, index, { up: true });
    if (plan.detectDuplicates) awaitAddresses(pod, index, deadline);
    // Several ways to one destination stand beside each other, as the reference plugin's do.
    for (const route of plan.routes) appendRoute(pod, { ...route, outIndex: index });
  });
}

/** The kernel probes for 1 s by default; an address in use elsewhere stays unusable. */
function awaitAddresses(pod: Netlink, index: number, deadline: Deadline): void {
  for (;;) {
    const addresses = listAddresses(pod, { index, family: 6 });
    const duplicate = addresses.find((address) => address.duplicate);
    if (duplicate !== undefined) {
      const text = formatInterfaceAddress(duplicate.address);
      throw new CniError(
        ErrorCode.tryAgainLater,
        `another host has the address ${text}`,
        'enabledad asks to look for that',
      );
    }
    if (!addresses.some((address) => address.tentative)) return;
    sleep(deadline.within(20, 'look for other hosts with the same address'));
  }
}

function setContainerSysctls(plan: SandboxPlan): void {
  const hasIpv6 = plan.addresses.some(({ address }) => isIpv6(address));
  if (!hasIpv6 && !plan.refuseAdvertisements) return;
  withNetns(plan.netns, () => {
    if (plan.refuseAdvertisements) setIpv6(plan.ifName, 'accept_ra', 0);
    if (!hasIpv6) return;
    for (const link of ['lo', plan.ifName]) setIpv6(link, 'disable_ipv6', 0);
    setIpv6(plan.ifName, 'keep_addr_on_down', 1);
    // For the link-local address, too, which is the pod's source of everything on the link.
    setIpv6(plan.ifName, 'accept_dad', Number(plan.detectDuplicates));
    if (plan.detectDuplicates) setIpv6(plan.ifName, 'enhanced_dad', 1);
  });
}

/** The host's end of a pair; undefined if there is none. Only a veth can be ours. */
export function findHostEnd(nl: Netlink, hostName: string): Link | undefined {
  const link = getLink(nl, hostName);
  return link?.kind === 'veth' ? link : undefined;
}

/** Removes the pair, both ends at once. */
export function deletePair(hostName: string): void {
  withNetlink({}, (nl) => {
    const end = findHostEnd(nl, hostName);
    if (end !== undefined) ensureLinkAbsent(nl, end.index);
  });
}

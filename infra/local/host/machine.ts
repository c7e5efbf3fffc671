/** A machine: a namespace with one interface, connected to the VPC's bridge. */
import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { formatInterfaceAddress, type InterfaceAddress } from '@flannel-ts/inet/prefix';
import { netnsExists, withNetns } from '@flannel-ts/linux/netns';
import { readSysctl, writeSysctl } from '@flannel-ts/linux/sysctl';
import { ensureAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import { addVeth } from '@flannel-ts/rtnetlink/link-add';
import { listRoutes, replaceRoute } from '@flannel-ts/rtnetlink/route';
import { InfraError } from '../../errors.ts';
import {
  MACHINE_INTERFACE,
  machineId,
  machineMac,
  machineRoot,
  netnsName,
  netnsPath,
  portName,
  VPC,
  VPC_BRIDGE,
} from '../names.ts';
import { withStackLock } from './files.ts';
import { ensureNetns, removeNetns } from './namespaces.ts';
import { ABSENT, handler } from './resource.ts';

export interface MachineInputs {
  readonly stack: string;
  /** Also names its namespace: `node-0`. */
  readonly machine: string;
  /** The VPC's id: machines go with it. */
  readonly vpc: string;
  readonly address: string;
  /** Of the VPC, which is one link. */
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mtu: number;
}

export interface MachineOutputs {
  readonly netns: string;
  readonly root: string;
}

export const machine = handler<MachineInputs, MachineOutputs>({
  id: ({ stack, machine: name, address }) => machineId(stack, name, parseIp(address, 4)),
  identity: ['stack', 'machine', 'vpc', 'address', 'prefixLength', 'gateway'],
  async ensure(inputs) {
    withStackLock(inputs.stack, () => ensureMachine(inputs));
    return { netns: netnsName(inputs.stack, inputs.machine), root: machineRoot(inputs.stack, inputs.machine) };
  },
  async observe(props) {
    if (!netnsExists(netnsPath(props.stack, props.machine))) return ABSENT;
    const drift = portProblem(props) ?? interfaceProblem(props);
    return { present: true, ...(drift && { drift }) };
  },
  async remove(props) {
    await removeNetns(netnsPath(props.stack, props.machine));
    if (netnsExists(netnsPath(props.stack, VPC))) withStackLock(props.stack, () => removePort(props));
  },
});

function ensureMachine(inputs: MachineInputs): void {
  const { stack, machine: name, address, mtu } = inputs;
  const netns = netnsPath(stack, name);
  ensureNetns(netns);
  withNetlink({ netns: netnsPath(stack, VPC) }, (nl) => {
    const bridge = getLink(nl, VPC_BRIDGE);
    if (bridge === undefined)
      throw new InfraError('NOT_READY', `VPC of stack ${stack} has no bridge: run "npm run up"`);
    const port = ensurePort(nl, parseIp(address, 4), netns);
    setLink(nl, port.index, { mtu, master: bridge.index, up: true });
  });
  withNetlink({ netns }, (nl) => {
    const link = getLink(nl, MACHINE_INTERFACE)!;
    setLink(nl, link.index, { mtu, up: true });
    ensureAddress(nl, { index: link.index, address: interfaceAddress(inputs) });
    replaceRoute(nl, { dst: undefined, gateway: parseIp(inputs.gateway, 4), outIndex: link.index });
  });
  // A node routes between its pods and the network; a machine image sets this in sysctl.d.
  withNetns(netns, () => void writeSysctl('net/ipv4/ip_forward', 1));
}

/** The two ends live and die together, so a port without its other end in the machine is another machine's remains. */
function ensurePort(nl: Netlink, address: Ipv4, netns: string): Link {
  const port = portName(address);
  const present = getLink(nl, port);
  if (present && withNetlink({ netns }, (inside) => getLink(inside, MACHINE_INTERFACE)) !== undefined) return present;
  ensureLinkAbsent(nl, port);
  withNetlink({ netns }, (inside) => ensureLinkAbsent(inside, MACHINE_INTERFACE));
  return addVeth(nl, { name: port, peer: { name: MACHINE_INTERFACE, netns, mac: machineMac(address) } });
}

function removePort({ stack, address }: MachineInputs): void {
  withNetlink({ netns: netnsPath(stack, VPC) }, (nl) => ensureLinkAbsent(nl, portName(parseIp(address, 4))));
}

function portProblem({ stack, machine: name, address, mtu }: MachineInputs): string | undefined {
  const vpc = netnsPath(stack, VPC);
  if (!netnsExists(vpc)) return `${name} is not connected: the VPC is gone`;
  return withNetlink({ netns: vpc }, (nl) => {
    const port = getLink(nl, portName(parseIp(address, 4)));
    if (port === undefined) return `${name} is not connected to the VPC`;
    const bridge = getLink(nl, VPC_BRIDGE);
    if (bridge === undefined || port.master !== bridge.index) return `${name}'s port is not in the VPC's bridge`;
    return linkProblem(`${name}'s port`, port, mtu);
  });
}

function interfaceProblem(inputs: MachineInputs): string | undefined {
  const { stack, machine: name, mtu } = inputs;
  const netns = netnsPath(stack, name);
  const problem = withNetlink({ netns }, (nl) => {
    const link = getLink(nl, MACHINE_INTERFACE);
    if (link === undefined) return `${name} has no ${MACHINE_INTERFACE}`;
    const wanted = formatInterfaceAddress(interfaceAddress(inputs));
    const has = listAddresses(nl, { index: link.index, family: 4 }).map(({ address }) =>
      formatInterfaceAddress(address),
    );
    if (!has.includes(wanted)) return `${name} has not the address ${wanted}`;
    return (
      linkProblem(`${name}'s ${MACHINE_INTERFACE}`, link, mtu) ?? routeProblem(nl, name, parseIp(inputs.gateway, 4))
    );
  });
  if (problem !== undefined) return problem;
  const forwards = withNetns(netns, () => readSysctl('net/ipv4/ip_forward')) === '1';
  return forwards ? undefined : `${name} does not forward`;
}

function linkProblem(what: string, { up, mtu }: Link, wanted: number): string | undefined {
  if (!up) return `${what} is down`;
  return mtu === wanted ? undefined : `${what} has MTU ${mtu} instead of ${wanted}`;
}

function routeProblem(nl: Netlink, name: string, gateway: Ipv4): string | undefined {
  const has = listRoutes(nl, { family: 4 }).some((route) => route.dst === undefined && route.gateway === gateway);
  return has ? undefined : `${name} has no default route by ${formatIp(gateway)}`;
}

function interfaceAddress({ address, prefixLength }: MachineInputs): InterfaceAddress<4> {
  return { address: parseIp(address, 4), length: prefixLength };
}

import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ip, isIpv6, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePort } from '@flannel-ts/inet/port';
import { closeFd, type Fd, tryRead } from '@flannel-ts/linux/files';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  bind,
  getSockName,
  ipOfSockaddr,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  sendTo,
  sockaddrInPort,
  sockaddrOf,
  socket,
  tryRecvFrom,
} from '@flannel-ts/linux/socket';
import { writeSysctl } from '@flannel-ts/linux/sysctl';
import { VNET_HEADER_BYTES } from 'tun-tap/constants';
import { open } from 'tun-tap/open';
import { openSourceSocket } from '../../src/datapath/tun/engine/socket.ts';
import type { Family } from '../../src/datapath/tun/engine/underlay.ts';

/** The UDP port of every node here. */
export const PORT = parsePort(8285);
/** The MTU that engines are told; the device's own is larger, so that packets above the engine's can be sent. */
export const MTU = 1472;
const DEVICE_MTU = 9000;

/** Of the underlay, for a whole device packet in a datagram over IPv6. */
const UNDERLAY_MTU = MTU + 48;

/** Numbers of further addresses of the second node, to play further peers and a stranger from. */
export const OTHER_PEER_NUMBER = 3;
export const STRANGER_NUMBER = 9;

/** What the engine under test asks for. */
export interface LabOptions {
  /** Devices with a virtio header before each packet. */
  readonly vnetHeader?: boolean;
  /** The engine carries IPv6, too. */
  readonly ipv6?: boolean;
  /** By which nodes reach each other (default: IPv4). */
  readonly underlay?: Family;
  /** Programs in the kernel take most packets: those that they leave to the engine come later. */
  readonly twoWays?: boolean;
}

/** An address of the network between the nodes (numbers up to 255), or elsewhere: of a node, 1 or 2, or a further one. */
export function underlayAddress(options: LabOptions | undefined, n: number): string {
  return options?.underlay === 6 ? `2001:db8::${n.toString(16)}` : `192.0.${2 + (n >> 8)}.${n & 255}`;
}

/** A node: a namespace with an underlay address on `eth0` and a TUN device `flannel0` in front of a pod address. */
export interface Node {
  readonly netns: string;
  readonly address: Ip;
  readonly addressText: string;
  /** The device's address: the base of the node's /24, as flannel's. */
  readonly tunAddress: Ipv4;
  readonly podText: string;
  readonly tunFd: Fd;
  /** Of the virtio header before each packet of the device. */
  readonly headerBytes: number;
  readonly socketFd: Fd;
  /** Runs a command inside; returns its output, also when it fails. */
  run(command: string, ...args: string[]): string;
  /** Deletes the device under the engine. */
  deleteDevice(): void;
}

/** Two nodes joined by a veth. The second one's device is up, but tests may play the second node by hand. */
export class Lab {
  readonly #closers: (() => void)[] = [];

  constructor(
    readonly name: string,
    readonly options: LabOptions = {},
  ) {}

  /** `closers` run in reverse order, so that a failed set-up leaves nothing either. */
  setUp(): readonly [Node, Node] {
    const [a, b] = [this.#namespace('a'), this.#namespace('b')];
    ip(a, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b.split('/').at(-1)!);
    return [this.#node(a, 1), this.#node(b, 2)];
  }

  /** A third node behind the first one, on a link with an MTU of its own; the others reach it through the first one's `eth1` only. */
  addNode(first: Node, mtu: number): Node {
    const netns = this.#namespace('c');
    ip(first.netns, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.split('/').at(-1)!);
    const six = this.options.underlay === 6;
    if (six) withNetns(first.netns, () => void writeSysctl('net/ipv6/conf/eth1/disable_ipv6', 0));
    const [near, far, gateway] = six
      ? [['2001:db8:1::1/64', 'nodad'], '2001:db8:1::3', '2001:db8:1::1']
      : [['198.51.100.1/24'], '198.51.100.3', '198.51.100.1'];
    ip(first.netns, 'addr', 'add', near[0]!, 'dev', 'eth1', ...near.slice(1));
    ip(first.netns, 'link', 'set', 'eth1', 'mtu', `${mtu}`, 'up');
    const node = this.#node(netns, 3, far, mtu);
    ip(netns, 'route', 'add', first.addressText, 'via', gateway);
    return node;
  }

  tearDown(): void {
    for (const close of this.#closers.splice(0).reverse()) close();
  }

  /** Adds a UDP socket in a node's namespace; closed at tearDown. */
  udp(node: Node, address: string, port: number): UdpSocket {
    const fd = withNetns(node.netns, () => boundSocket(parseIp(address), port));
    this.#closers.push(() => closeFd(fd));
    return new UdpSocket(fd);
  }

  /** The node's own socket, when a test plays the node by hand. */
  udpOn(fd: Fd): UdpSocket {
    return new UdpSocket(fd);
  }

  /** Sockets of a node to send from only; closed at tearDown. */
  sources(node: Node, count: number): readonly Fd[] {
    return Array.from({ length: count }, () => {
      const fd = withNetns(node.netns, () => openSourceSocket(node.address));
      this.#closers.push(() => closeFd(fd));
      return fd;
    });
  }

  /** A packet socket on the device: what is sent there is read by the engine, what the engine writes is received. */
  device(node: Node, protocol = ETH_P_IP): DeviceTap {
    const index = Number.parseInt(node.run('ip', '-o', 'link', 'show', 'flannel0'), 10);
    const fd = withNetns(node.netns, () => {
      const packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, swap(protocol));
      bind(packets, sockaddrLl(index, protocol));
      return packets;
    });
    this.#closers.push(() => closeFd(fd));
    return new DeviceTap(fd, index, protocol);
  }

  /** An address of a node's eth0. */
  addAddress(netns: string, n: number): void {
    this.#addAddress(netns, underlayAddress(this.options, n));
  }

  #addAddress(netns: string, text: string): void {
    const args = this.options.underlay === 6 ? [`${text}/64`, 'nodad'] : [`${text}/24`];
    ip(netns, 'addr', 'add', args[0]!, 'dev', 'eth0', ...args.slice(1));
  }

  #namespace(suffix: string): string {
    const path = `/run/netns/${this.name}-${suffix}`;
    createNetns(path);
    this.#closers.push(() => deleteNetns(path));
    return path;
  }

  #node(netns: string, n: number, addressText = underlayAddress(this.options, n), mtu = UNDERLAY_MTU): Node {
    const podText = `10.${n}.0.2`;
    withNetns(netns, () => quieten(this.options));
    ip(netns, 'link', 'set', 'lo', 'up');
    this.#addAddress(netns, addressText);
    for (const more of n === 2 ? [OTHER_PEER_NUMBER, STRANGER_NUMBER] : []) this.addAddress(netns, more);
    ip(netns, 'link', 'set', 'eth0', 'mtu', `${mtu}`, 'up');
    const device = withNetns(netns, () =>
      open({ name: 'flannel0', nonblocking: true, vnetHeader: this.options.vnetHeader ?? false }),
    );
    this.#closers.push(() => device.close());
    ip(netns, 'addr', 'add', `10.${n}.0.0/32`, 'dev', 'flannel0');
    ip(netns, 'link', 'set', 'flannel0', 'mtu', `${DEVICE_MTU}`, 'up');
    ip(netns, 'addr', 'add', `${podText}/32`, 'dev', 'lo');
    ip(netns, 'route', 'add', '10.0.0.0/8', 'dev', 'flannel0', 'src', podText);
    // For the engine's ICMP errors, which come from the device's own address.
    withNetns(netns, () => void writeSysctl('net/ipv4/conf/flannel0/accept_local', 1));
    const address = parseIp(addressText);
    const socketFd = withNetns(netns, () => boundSocket(address, PORT));
    this.#closers.push(() => closeFd(socketFd));
    return {
      netns,
      address,
      addressText,
      tunAddress: parseIp(`10.${n}.0.0`),
      podText,
      tunFd: device.fd,
      headerBytes: device.hasVnetHeader ? VNET_HEADER_BYTES : 0,
      socketFd,
      run: (command, ...args) => run(netns, command, ...args),
      deleteDevice: () => ip(netns, 'link', 'del', 'flannel0'),
    };
  }
}

/** A datagram, and where it came from. */
export interface Datagram {
  readonly bytes: Uint8Array;
  readonly address: Ip;
  readonly port: number;
}

export class UdpSocket {
  readonly #buffer = new Uint8Array(65536);
  readonly #from = new Uint8Array(28);

  constructor(readonly fd: Fd) {}

  send(bytes: Uint8Array, to: Ip, port: number = PORT): void {
    sendTo(this.fd, bytes, 0, sockaddrOf(to, port));
  }

  tryReceive(): Datagram | undefined {
    const length = tryRecvFrom(this.fd, this.#buffer, 0, this.#from);
    if (length < 0) return undefined;
    const address = ipOfSockaddr(this.#from);
    return { bytes: this.#buffer.slice(0, length), address, port: sockaddrInPort(this.#from) };
  }

  async receive(): Promise<Datagram> {
    return until(() => this.tryReceive(), 'a datagram');
  }
}

/** linux/if_ether.h; a packet socket of one protocol, unlike one of all, is not shown outgoing packets. */
const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;

/** The kernel's side of a TUN device, byte for byte. */
export class DeviceTap {
  readonly #buffer = new Uint8Array(65536);
  readonly #from = new Uint8Array(20);

  constructor(
    readonly fd: Fd,
    readonly index: number,
    readonly protocol: number,
  ) {}

  /** Gives the engine these bytes to read. */
  send(bytes: Uint8Array): void {
    sendTo(this.fd, bytes, 0, sockaddrLl(this.index, this.protocol));
  }

  /** What the engine wrote, but for packets to 0.0.0.0, with which it only tries the device (fast/selftest.ts). */
  tryReceive(): Uint8Array | undefined {
    for (;;) {
      const length = tryRecvFrom(this.fd, this.#buffer, 0, this.#from);
      if (length < 0) return undefined;
      const toNobody = this.#buffer[0] === 0x45 && this.#buffer.subarray(16, 20).every((byte) => byte === 0);
      if (!toNobody) return this.#buffer.slice(0, length);
    }
  }

  async receive(): Promise<Uint8Array> {
    return until(() => this.tryReceive(), 'a packet from the device');
  }
}

/** Asks again until there is an answer; gives up after a time that only a broken engine needs. */
export async function until<T>(ask: () => T | undefined | false, what: string): Promise<T> {
  for (let tries = 0; tries < 2000; tries++) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
    await sleep(5);
  }
  throw new Error(`Waited in vain for ${what}`);
}

/** The port of a bound socket. */
export function portOf(fd: Fd): number {
  return sockaddrInPort(getSockName(fd));
}

/** Reads what is left from earlier tests. */
export function drainFd(fd: Fd): void {
  const buffer = new Uint8Array(65536);
  while (tryRead(fd, buffer) >= 0);
}

function boundSocket(address: Ip, port: number): Fd {
  const fd = socket(isIpv6(address) ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK);
  bind(fd, sockaddrOf(address, port));
  return fd;
}

/** `struct sockaddr_ll` of linux/if_packet.h. */
function sockaddrLl(index: number, protocol: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const fields = new DataView(bytes.buffer);
  fields.setUint16(0, AF_PACKET, true);
  fields.setUint16(2, protocol);
  fields.setInt32(4, index, true);
  return bytes;
}

/** No packets but those of the tests: no IPv6 discovery, and no forwarding of what is for nobody here. */
function quieten({ underlay }: LabOptions): void {
  writeSysctl('net/ipv6/conf/all/disable_ipv6', 1);
  writeSysctl('net/ipv6/conf/default/disable_ipv6', 1);
  if (underlay === 6) {
    writeSysctl('net/ipv6/conf/eth0/disable_ipv6', 0);
    writeSysctl('net/ipv6/conf/eth0/keep_addr_on_down', 1);
  }
  writeSysctl('net/ipv4/ip_forward', 0);
}

function swap(word: number): number {
  return ((word & 255) << 8) | (word >> 8);
}

function run(netns: string, command: string, ...args: string[]): string {
  try {
    return execFileSync('nsenter', [`--net=${netns}`, command, ...args], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`;
  }
}

function ip(netns: string, ...args: string[]): void {
  execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args], { stdio: 'pipe' });
}

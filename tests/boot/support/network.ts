/**
 * The VPC: one namespace that routes between subnets, as a VPC's implicit router does. A machine's interface is in a subnet
 * of its own zone, so machines of two zones share no link.
 */
import { createNetns, deleteNetns } from '@flannel-ts/linux/netns';
import { sh } from './process.ts';

/** The largest frame in a VPC. */
export const MTU = 9001;

export interface Subnet {
  /** The VPC's first address in it, with the prefix length: "10.64.1.1/24". */
  readonly gateway: string;
}

export interface Attachment {
  readonly address: string;
  /** The VPC's address in the subnet, with the prefix length. */
  readonly gateway: string;
  readonly mac: string;
  /** One more address, for a service on the machine's own loopback. */
  readonly onLoopback: string;
}

export class Vpc {
  readonly netns: string;
  private interfaces = 0;

  private constructor(readonly id: string) {
    this.netns = netnsPath(`${id}-vpc`);
  }

  static create(id: string, subnets: readonly Subnet[]): Vpc {
    const vpc = new Vpc(id);
    createNetns(vpc.netns);
    vpc.ip('link', 'set', 'lo', 'up');
    // Its own address: a bridge without one takes that of a port, and so another when machines come and go.
    vpc.ip('link', 'add', 'vpc0', 'address', '06:ff:00:00:00:01', 'mtu', String(MTU), 'type', 'bridge');
    for (const { gateway } of subnets) vpc.ip('address', 'add', gateway, 'dev', 'vpc0');
    vpc.ip('link', 'set', 'vpc0', 'up');
    // A VPC's router never tells machines of shorter ways.
    const settings = ['ip_forward=1', 'conf.all.send_redirects=0', 'conf.vpc0.send_redirects=0'];
    for (const setting of settings) vpc.inside('sysctl', '-q', '-w', `net.ipv4.${setting}`);
    return vpc;
  }

  /** A namespace with an interface in the VPC, named as on Nitro. Returns its path; gone with deleteNetns(). */
  attach(name: string, { address, gateway, mac, onLoopback }: Attachment): string {
    const netns = netnsPath(`${this.id}-${name}`);
    const [router = '', length = ''] = gateway.split('/');
    const port = `p${this.interfaces++}`;
    const mtu = ['mtu', String(MTU)];
    createNetns(netns);
    const ip = (...args: string[]) => inside(netns, 'ip', ...args);
    ip('link', 'set', 'lo', 'up');
    ip('address', 'add', onLoopback, 'dev', 'lo');
    const end = ['name', 'ens5', ...mtu, 'address', mac, 'netns', netns];
    this.ip('link', 'add', port, ...mtu, 'type', 'veth', 'peer', ...end);
    this.ip('link', 'set', port, 'master', 'vpc0', 'up');
    ip('address', 'add', `${address}/${length}`, 'dev', 'ens5');
    ip('link', 'set', 'ens5', 'up');
    ip('route', 'add', 'default', 'via', router);
    return netns;
  }

  destroy(): void {
    deleteNetns(this.netns);
  }

  private ip(...args: string[]): string {
    return this.inside('ip', ...args);
  }

  private inside(...command: string[]): string {
    return inside(this.netns, ...command);
  }
}

function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

function inside(netns: string, ...command: string[]): string {
  return sh('nsenter', `--net=${netns}`, ...command);
}

/** The ways from pod to pod that are compared. Each is laid before a measurement and taken away after it. */

import { DEFAULT_BUSY_POLL_US, DEFAULT_SOURCE_PORTS } from '@flannel-ts/flannel/backend-config';
import { UDP_OVERHEAD, VXLAN_OVERHEAD, VXLAN_PORT } from '@flannel-ts/flannel/defaults';
import { EngineProcess, type Program } from './engine-process.ts';
import { Flannel } from './flanneld.ts';
import { ip, type Lab, type Side } from './lab.ts';
import { runIn } from './processes.ts';

/** `flannel` is the udp backend of flannel itself, as the whole daemon. */
export type PathName = 'ebpf' | 'fast' | 'reference' | 'flannel' | 'vxlan' | 'host-gw';

export interface Programs {
  /** Of our engines. */
  readonly engine: Program;
  /** Needed for the path of this name. */
  readonly flannel?: string | undefined;
}

export interface Path {
  /** What carries packets in user space. */
  readonly processes: readonly { readonly pid: number }[];
  /** Those of ours, of which counters can be asked. */
  readonly engines: readonly EngineProcess[];
  takeAway(): Promise<void>;
}

/** `settings`: properties of an engine's configuration that differ from what flanneld gives it by default. */
export async function layPath(name: PathName, lab: Lab, programs: Programs, settings: object = {}): Promise<Path> {
  if (name === 'vxlan') return layVxlan(lab);
  if (name === 'host-gw') return layHostGw(lab);
  if (name === 'flannel') return layFlannel(lab, programs);
  return layEngines(name, lab, programs.engine, settings);
}

function eachWay(lab: Lab, lay: (from: Side, to: Side) => void): void {
  const [a, b] = lab.sides;
  lay(a, b);
  lay(b, a);
}

async function layEngines(name: PathName, lab: Lab, program: Program, settings: object): Promise<Path> {
  const mtu = lab.mtu - UDP_OVERHEAD;
  const [a, b] = lab.sides;
  const start = (from: Side, to: Side): EngineProcess => {
    const args = [name, from.node.address, from.device, String(mtu), `${to.subnet}=${to.node.address}`];
    const own = { busyPollUs: DEFAULT_BUSY_POLL_US, sourcePorts: DEFAULT_SOURCE_PORTS, ...settings };
    return new EngineProcess(program, from.node.netns, args, own);
  };
  const engines = [start(a, b), start(b, a)];
  const takeAway = async (): Promise<void> => void (await Promise.all(engines.map((engine) => engine.stop())));
  try {
    await Promise.all(engines.map((engine) => engine.started()));
    lab.setPodMtu(mtu);
    eachWay(lab, (from) => {
      ip(from.node, `addr add ${from.device}/32 dev flannel0`);
      ip(from.node, `link set flannel0 mtu ${mtu} up`);
      ip(from.node, 'route add 10.0.0.0/8 dev flannel0');
    });
    // Programs take TCP and UDP when they have seen that the other node has programs.
    if (name === 'ebpf') eachWay(lab, (from, to) => runIn(from.pod, ['ping', '-c5', '-i0.1', '-q', to.pod.address]));
  } catch (error) {
    await takeAway();
    throw error;
  }
  return { processes: engines, engines, takeAway };
}

async function layFlannel(lab: Lab, { engine, flannel: program }: Programs): Promise<Path> {
  const flannel = new Flannel(lab, program!, engine.path('flannel'));
  const takeAway = (): Promise<void> => flannel.stop();
  try {
    // Rules of packet filters would stay behind, and slow down the other paths.
    await flannel.start(['-iptables-forward-rules=false']);
  } catch (error) {
    await takeAway();
    throw error;
  }
  return { processes: flannel.processes, engines: [], takeAway };
}

/** As flannel's vxlan backend: no learning, one neighbour, one forwarding entry and one route per peer. */
function layVxlan(lab: Lab): Path {
  const mtu = lab.mtu - VXLAN_OVERHEAD;
  lab.setPodMtu(mtu);
  const mac = (side: Side): string => `02:00:00:00:00:0${side.number}`;
  eachWay(lab, ({ node, device, number }) => {
    const link = `link add flannel.1 address 02:00:00:00:00:0${number} mtu ${mtu} type vxlan id 1`;
    ip(node, `${link} local ${node.address} dev eth0 dstport ${VXLAN_PORT} nolearning`);
    ip(node, `addr add ${device}/32 dev flannel.1`);
    ip(node, 'link set flannel.1 up');
  });
  eachWay(lab, (from, to) => {
    ip(from.node, `neigh replace ${to.device} lladdr ${mac(to)} dev flannel.1 nud permanent`);
    bridge(from, `fdb append ${mac(to)} dev flannel.1 dst ${to.node.address}`);
    ip(from.node, `route add ${to.subnet} via ${to.device} dev flannel.1 onlink`);
  });
  return {
    processes: [],
    engines: [],
    takeAway: async () => eachWay(lab, ({ node }) => ip(node, 'link del flannel.1')),
  };
}

function bridge({ node }: Side, words: string): void {
  runIn(node, ['bridge', ...words.split(' ')]);
}

function layHostGw(lab: Lab): Path {
  lab.setPodMtu(lab.mtu);
  eachWay(lab, (from, to) => ip(from.node, `route add ${to.subnet} via ${to.node.address}`));
  return {
    processes: [],
    engines: [],
    takeAway: async () => eachWay(lab, (from, to) => ip(from.node, `route del ${to.subnet}`)),
  };
}

/** The address families of a network change while pods talk: the family that stays loses nothing, with every backend of the kernel's. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { canPing6, ipv6Subnet, podAddress6 } from './support/ipv6.ts';
import { printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(180_000);

const IPV4 = { Network: '10.5.0.0/16' };
const IPV6 = { EnableIPv6: true, IPv6Network: 'fd00:5::/48' };

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

describe.each(['vxlan', 'host-gw'])('%s', (type) => {
  let cluster: Cluster;
  let [a, b] = [] as unknown as [Node, Node];
  let pids: unknown[];
  const configure = (families: object) =>
    cluster.etcd.put(`${PREFIX}/config`, JSON.stringify({ ...families, Backend: { Type: type } }));
  const nodes = () => [a, b];
  const leases = () => cluster.etcd.keys(`${PREFIX}/subnets/`).sort();
  const talk4 = () => a.canPing(b) && b.canPing(a);
  const talk6 = () => canPing6(a, b) && canPing6(b, a);
  /** Addresses of the pods, while the subnet file may be away. */
  const pods: { ipv4: [string, string]; ipv6: [string, string] } = { ipv4: ['', ''], ipv6: ['', ''] };
  const traffic = (family: 'ipv4' | 'ipv6') => startNumbered(a.place(pods[family][0]), b.place(pods[family][1]));
  const rest = () => new Promise((resolve) => setTimeout(resolve, 500));

  /** From one config to the next one, which `settled` shows. */
  async function change(what: string, families: object, stays: 'ipv4' | 'ipv6', settled: () => boolean): Promise<void> {
    const stop = await traffic(stays);
    await rest();
    configure(families);
    await until(settled);
    for (const node of nodes()) await node.untilReady();
    await rest();
    const journeys = await stop();
    printJourneys(`${type}: ${what}`, journeys);
    for (const { sent, lost } of journeys) {
      expect(sent).toBeGreaterThan(80);
      expect(lost).toEqual([]);
    }
    expect(nodes().map(({ pid }) => pid)).toEqual(pids);
  }

  beforeAll(async () => {
    cluster = await Cluster.create(program, 2, { underlay: 'both' });
    configure(IPV4);
    [a, b] = cluster.nodes as [Node, Node];
    for (const node of nodes()) node.start(['-ip-masq']);
    for (const node of nodes()) await node.untilReady();
    for (const node of nodes()) node.addPodAddress();
    await until(talk4);
    pods.ipv4 = [a.podAddress, b.podAddress];
    pids = nodes().map(({ pid }) => pid);
  });
  afterAll(() => cluster.destroy());

  const keys = (form: RegExp) => leases().length === 2 && leases().every((key) => form.test(key));
  const BOTH_KEYS = /\/10\.5\.\d+\.0-24&fd00:5:/;

  test('IPv6 comes, and IPv4 loses nothing', async () => {
    await change('IPv6 comes', { ...IPV4, ...IPV6 }, 'ipv4', () => keys(BOTH_KEYS));
    for (const node of nodes()) node.ip('address', 'add', ipv6Subnet(node), 'dev', 'cni0', 'nodad');
    pods.ipv6 = [podAddress6(a), podAddress6(b)];
    await until(talk6);
    expect([a.podAddress, b.podAddress]).toEqual(pods.ipv4);
  });

  test('IPv4 goes, and IPv6 loses nothing', async () => {
    const only6 = () =>
      keys(/\/0\.0\.0\.0-0&fd00:5:/) && !/10\.5\./.test(a.ip('-4', 'route').replace(/.* dev cni0.*/g, ''));
    await change('IPv4 goes', { EnableIPv4: false, ...IPV6 }, 'ipv6', only6);
    expect([podAddress6(a), podAddress6(b)]).toEqual(pods.ipv6);
  });

  test('IPv4 comes back, and IPv6 loses nothing', async () => {
    await change('IPv4 comes back', { ...IPV4, ...IPV6 }, 'ipv6', () => keys(BOTH_KEYS));
    for (const node of nodes()) {
      node.ip('-4', 'address', 'flush', 'dev', 'cni0');
      node.ip('address', 'add', node.subnet, 'dev', 'cni0');
    }
    pods.ipv4 = [a.podAddress, b.podAddress];
    await until(talk4);
  });

  test('IPv6 goes, and IPv4 loses nothing and nothing of IPv6 is left', async () => {
    const left = () => a.ip('-6', 'route', 'show', 'proto', '241') + a.ip('-br', 'link').match(/flannel-v6\S*/g);
    await change('IPv6 goes', IPV4, 'ipv4', () => keys(/\/10\.5\.\d+\.0-24$/) && left() === 'null');
  });
});

/** Which interface and address a node uses: at the start, after restarts, and when they change under it. */
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}';

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

let cluster: Cluster;
let node: Node;
beforeEach(async () => {
  cluster = await Cluster.create(program, 1);
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  node = cluster.nodes[0]!;
});
afterEach(() => cluster.destroy());

const leases = () => cluster.etcd.keys(`${PREFIX}/subnets/`).map((key) => cluster.etcd.get(key));

test('a restart keeps interface and subnet when the bridge of pods matches -iface-regex by now', async () => {
  const flags = [
    String.raw`-iface-regex=^10\.244\.\d{1,3}\.\d{1,3}$`,
    String.raw`-iface-regex=^10\.64\.\d{1,3}\.\d{1,3}$`,
  ];
  await node.startReady(flags);
  const before = [node.subnet, leases()];
  node.addPodAddress();
  await node.stop();
  await node.startReady(flags);
  expect([node.subnet, leases()]).toEqual(before);
  expect(node.run('ss', '-Hnlu', 'sport', '=', ':8285')).toContain(`${node.address}:8285`);
});

test('a restart keeps the address when another interface has the better default route, and a virtual address has come', async () => {
  await node.startReady();
  const before = [node.subnet, leases()];
  node.ip('address', 'add', '10.64.0.100/32', 'dev', 'eth0');
  node.ip('link', 'add', 'eth1', 'type', 'bridge');
  node.ip('address', 'add', '192.168.77.5/24', 'dev', 'eth1');
  node.ip('link', 'set', 'eth1', 'up');
  node.ip('route', 'replace', 'default', 'via', '10.64.0.1', 'metric', '100');
  node.ip('route', 'delete', 'default', 'metric', '0');
  node.ip('route', 'add', 'default', 'via', '192.168.77.1', 'metric', '50');
  await node.stop();
  await node.startReady();
  expect([node.subnet, leases()]).toEqual(before);
});

test('an interface that comes late, by another name, and gets its address later still, is waited for in words', async () => {
  node.start(['-iface=eth1']);
  await until(() => node.logged('-iface=eth1: there is no such interface') === 1);
  expect(node.probe('readyz')).toContain('underlay: Found no interface for the traffic between nodes');
  node.ip('link', 'add', 'slow0', 'type', 'bridge');
  node.ip('link', 'set', 'slow0', 'name', 'eth1', 'up');
  await until(() => node.logged('-iface=eth1: interface eth1 has no usable IPv4 address') === 1);
  node.ip('address', 'add', '192.168.77.5/24', 'dev', 'eth1');
  await node.untilReady();
  expect(leases()[0]).toContain('192.168.77.5');
});

test('a node that starts before its interface has an address, and before etcd, serves when both are there', async () => {
  node.ip('address', 'flush', 'dev', 'eth0');
  await cluster.etcd.stop();
  node.start();
  await until(() => /etcd/i.test(node.text));
  node.ip('address', 'add', `${node.address}/24`, 'dev', 'eth0');
  node.ip('route', 'add', 'default', 'via', GATEWAY);
  await cluster.etcd.start();
  await node.untilReady();
});

describe('an address that changes', () => {
  let other: Node;
  const NEW = '10.64.0.116';
  const renumber = () => {
    node.ip('address', 'flush', 'dev', 'eth0');
    node.ip('address', 'add', `${NEW}/24`, 'dev', 'eth0');
    node.ip('route', 'add', 'default', 'via', GATEWAY);
  };
  const talk = () => until(() => node.canPing(other) && other.canPing(node));
  const ownKey = () => `${PREFIX}/subnets/${node.subnet.replace('.1/24', '.0-24')}`;

  beforeEach(async () => {
    other = cluster.addNode();
    for (const each of cluster.nodes) {
      await each.startReady();
      each.addPodAddress();
    }
    await talk();
  });

  test('is followed while flanneld runs: same process, same subnet, and the other nodes know it', async () => {
    const [pid, subnet, key] = [node.pid, node.subnet, ownKey()];
    renumber();
    await until(() => cluster.etcd.get(key)?.includes(NEW) === true);
    await talk();
    await until(() => node.probe('readyz').startsWith('200'));
    expect([node.pid, node.subnet]).toEqual([pid, subnet]);
    expect(leases()).toHaveLength(2);
    expect(node.run('ss', '-Hnlu', 'sport', '=', ':8285')).toContain(`${NEW}:8285`);
  });

  test('between two runs keeps the subnet', async () => {
    const { subnet } = node;
    await node.stop();
    renumber();
    await node.startReady();
    expect(node.subnet).toBe(subnet);
    await talk();
    expect(leases()).toHaveLength(2);
    expect(cluster.etcd.get(ownKey())).toContain(NEW);
  });

  test('of its interface, by another name or another MAC address, changes nothing', async () => {
    const before = [node.pid, node.subnet, leases()];
    node.ip('link', 'set', 'eth0', 'down');
    node.ip('link', 'set', 'eth0', 'name', 'lan0', 'address', '02:00:00:00:77:01');
    node.ip('link', 'set', 'lan0', 'up');
    node.ip('route', 'replace', 'default', 'via', GATEWAY);
    await until(() => node.logged('The underlay has changed') > 0);
    await until(() => node.probe('readyz').startsWith('200'));
    await talk();
    expect([node.pid, node.subnet, leases()]).toEqual(before);
  });

  test('by virtual addresses that come and go changes nothing', async () => {
    const before = [node.pid, node.subnet, leases()];
    const virtual = ['10.64.0.100/32', '10.64.0.9/24'];
    const followed = async (mtu: number) => {
      // What is followed shows that the addresses were looked at.
      node.ip('link', 'set', 'eth0', 'mtu', String(mtu));
      await until(() => readFileSync(node.subnetFile, 'utf8').includes(`FLANNEL_MTU=${mtu - 28}`));
      await talk();
      expect([node.pid, node.subnet, leases()]).toEqual(before);
      expect(node.run('ss', '-Hnlu', 'sport', '=', ':8285')).toContain(`${node.address}:8285`);
    };
    for (const address of virtual) node.ip('address', 'add', address, 'dev', 'eth0');
    await followed(1400);
    for (const address of virtual) node.ip('address', 'delete', address, 'dev', 'eth0');
    await followed(1450);
  });

  test('by being removed is reported, and used again when it returns', async () => {
    const before = [node.pid, node.subnet, leases()];
    node.ip('address', 'flush', 'dev', 'eth0');
    const gone = `underlay: the address ${node.address} is gone from this node, and no other one was found`;
    await until(() => node.probe('readyz').includes(gone));
    node.ip('address', 'add', `${node.address}/24`, 'dev', 'eth0');
    node.ip('route', 'add', 'default', 'via', GATEWAY);
    await talk();
    await until(() => node.probe('readyz').startsWith('200'));
    expect([node.pid, node.subnet, leases()]).toEqual(before);
  });

  test('to a smaller MTU makes the overlay smaller', async () => {
    node.ip('link', 'set', 'eth0', 'mtu', '1400');
    await until(() => node.ip('link', 'show', 'flannel0').includes('mtu 1372'));
    await until(() => readFileSync(node.subnetFile, 'utf8').includes('FLANNEL_MTU=1372'));
    await talk();
  });
});

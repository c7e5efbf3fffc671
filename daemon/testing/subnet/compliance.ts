/** What every subnet manager has to do; a test file calls describeSubnetManager() with its own harness. Not part of the daemon. */
import { setMaxListeners } from 'node:events';
import { formatLeaseSubnets, type Lease, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { formatPrefix, parsePrefix } from '@flannel-ts/inet/prefix';
import { firstConfig, type JoinRequest, type LeaseBatch, type SubnetManager } from '../../src/subnet/manager.ts';
import { createLeaseTable, type LeaseTable } from '../../src/subnet/table.ts';

export interface ManagerHarness {
  /** Another node's manager on the same store; on a store that assigns subnets, its node has one. */
  manager(): SubnetManager;
  putConfig(json: string): Promise<void>;
  /** Writes a lease the way another flanneld would: "10.5.1.0-24" and its JSON value. */
  putLease(name: string, value: string): Promise<void>;
  removeLease(name: string): Promise<void>;
  /** Names and values of all leases. */
  leases(): Promise<ReadonlyMap<string, string>>;
  destroy(): Promise<void>;
}

export const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
export const DUAL_CONFIG =
  '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"udp"}}';
export const IPV6_CONFIG = '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"udp"}}';
/** 10.5.0.0/19 in /24: 31 usable subnets, since flannel leaves out the first. */
export const SMALL_CONFIG = '{"Network":"10.5.0.0/19","SubnetLen":24,"Backend":{"Type":"udp"}}';

export const publicIp = (n: number): Ipv4 => (parseIp('192.168.0.0') + n) as Ipv4;
export const leaseValue = (n: number, rest = ''): string =>
  `{"PublicIP":"${formatIp(publicIp(n))}","PublicIPv6":null${rest}}`;

export async function request(
  manager: SubnetManager,
  n: number,
  previous?: Partial<LeaseSubnets>,
): Promise<JoinRequest> {
  const config = await firstConfig(manager, new AbortController().signal);
  return { config, attributes: { publicIp: publicIp(n), backendType: '' }, ...(previous && { previous }) };
}

/** Follows a manager's watch into a table that a test can wait on. */
export class Follower {
  readonly table: LeaseTable = createLeaseTable();
  readonly batches: LeaseBatch[] = [];
  private readonly controller = new AbortController();
  private readonly done: Promise<void>;
  private wake = () => {};

  constructor(manager: SubnetManager) {
    this.done = this.follow(manager);
  }

  async until(condition: (table: LeaseTable) => boolean): Promise<void> {
    while (!condition(this.table) || this.batches.length === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    this.controller.abort();
    await this.done;
  }

  private async follow(manager: SubnetManager): Promise<void> {
    for await (const batch of manager.peers(this.controller.signal)) {
      this.batches.push(batch);
      this.table.apply(batch);
      this.wake();
    }
  }
}

/** The lease with this IPv4 subnet. */
export const find = (table: LeaseTable, subnet: string): Lease | undefined =>
  table.get({ subnet: parsePrefix(subnet, 4) });

export const subnets = (leases: Iterable<Lease>): string[] => [...leases].map(formatLeaseSubnets).sort();

/** "allocates": nodes choose their subnets. "assigned": the source gives each node its own. */
export type SubnetChoice = 'allocates' | 'assigned';

export function describeSubnetManager(
  name: string,
  choice: SubnetChoice,
  makeHarness: () => Promise<ManagerHarness>,
): void {
  describe(`subnet manager: ${name}`, () => {
    let harness: ManagerHarness;
    const managers: SubnetManager[] = [];
    const manager = () => {
      const made = harness.manager();
      managers.push(made);
      return made;
    };
    const never = new AbortController().signal;
    setMaxListeners(0, never);

    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(async () => {
      for (const made of managers.splice(0)) made.close();
      await harness.destroy();
    });

    describeConfig(() => ({ harness, manager, never }));
    describeJoin(() => ({ harness, manager, never }));
    describeRelease(() => ({ harness, manager, never }));
    describeWatch(() => ({ harness, manager, never }));
    describeHold(() => ({ harness, manager, never }));
    if (choice === 'assigned') return;
    describeAcquire(() => ({ harness, manager, never }));
    describeIpv6Alone(() => ({ harness, manager, never }));
    describeScarcity(() => ({ harness, manager, never }));
    describeTaken(() => ({ harness, manager, never }));
  });
}

interface Context {
  readonly harness: ManagerHarness;
  readonly manager: () => SubnetManager;
  readonly never: AbortSignal;
}

function describeConfig(context: () => Context): void {
  test('firstConfig() waits for a config, also past one that is not valid', async () => {
    const { harness, manager, never } = context();
    const waiting = firstConfig(manager(), never);
    await harness.putConfig('{"Network":"10.5.0.0"}');
    await harness.putConfig(CONFIG);
    expect(formatPrefix((await waiting).pools[4]!.network)).toBe('10.5.0.0/16');
  });

  test('config() tells the present config and each valid one after it', async () => {
    const { harness, manager } = context();
    await harness.putConfig(CONFIG);
    const controller = new AbortController();
    const configs = manager().config(controller.signal)[Symbol.asyncIterator]();
    const next = async () => (await configs.next()).value?.backend;
    expect(await next()).toEqual({ type: 'udp', port: 8285 });
    await harness.putConfig('{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Engine":"slow"}}');
    await harness.putConfig('{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Engine":"reference"}}');
    expect(await next()).toEqual({ type: 'udp', port: 8285, engine: 'reference' });
    controller.abort();
    expect(await next()).toBeUndefined();
  });

  test('firstConfig() ends with the signal', async () => {
    const controller = new AbortController();
    const waiting = firstConfig(context().manager(), controller.signal);
    controller.abort(new Error('Stopping'));
    await expect(waiting).rejects.toThrow('Stopping');
  });
}

function describeJoin(context: () => Context): void {
  test('join() writes the lease as flannel does', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    const node = manager();
    const membership = await node.join(await request(node, 1), never);
    const { lease } = membership;
    const name = formatLeaseSubnets(lease).replace('/', '-');
    expect(await harness.leases()).toEqual(new Map([[name, leaseValue(1)]]));
    expect(name).toMatch(/^10\.5\.([1-9]|[1-9]\d|100)\.0-24$/);
    expect(membership.end?.() ?? Number.POSITIVE_INFINITY).toBeGreaterThan(Date.now());
  });
}

function describeAcquire(context: () => Context): void {
  test('join() writes a lease of both families as flannel does, and takes it again', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(DUAL_CONFIG);
    const node = manager();
    const asked = await request(node, 1);
    const attributes = { ...asked.attributes, publicIpv6: parseIp('fd99::1') };
    const { lease } = await node.join({ ...asked, attributes }, never);
    const [[name, value]] = [...(await harness.leases())] as [[string, string]];
    expect(name).toMatch(/^10\.5\.\d+\.0-24&fd00:0:0:[0-9a-f]+::-64$/);
    expect(value).toBe('{"PublicIP":"192.168.0.1","PublicIPv6":"fd99::1"}');
    const again = manager();
    expect((await again.join({ ...asked, attributes }, never)).lease).toEqual(lease);
    const follower = new Follower(manager());
    await follower.until((table) => [...table.values()][0]?.ipv6Subnet !== undefined);
    await harness.removeLease(name);
    await follower.until((table) => table.size === 0);
    await follower.stop();
  });

  test('join() gives a node the subnet again that is leased to its address', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    await harness.putLease('10.5.77.0-24', leaseValue(1));
    await harness.putLease('10.5.78.0-24', leaseValue(2));
    const node = manager();
    const { lease } = await node.join(await request(node, 1), never);
    expect(formatLeaseSubnets(lease)).toBe('10.5.77.0/24');
    expect((await harness.leases()).size).toBe(2);
  });

  test('join() deletes an own lease that the config no longer allows', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    await harness.putLease('10.6.77.0-24', leaseValue(1));
    const node = manager();
    await node.join(await request(node, 1), never);
    const names = [...(await harness.leases()).keys()];
    expect(names).toHaveLength(1);
    expect(names[0]).toMatch(/^10\.5\./);
  });

  test('join() takes the previous subnet when it is free, another when it is not', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    const previous = { subnet: parsePrefix('10.5.200.0/24') };
    const [first, second] = [manager(), manager()];
    const { lease: kept } = await first.join(await request(first, 1, previous), never);
    const { lease: other } = await second.join(await request(second, 2, previous), never);
    expect(formatLeaseSubnets(kept)).toBe('10.5.200.0/24');
    expect(formatLeaseSubnets(other)).not.toBe('10.5.200.0/24');
  });
}

function describeIpv6Alone(context: () => Context): void {
  const attributes = (n: number) => ({ publicIpv6: parseIp(`fd99::${n}`), backendType: '' });
  const value = (n: number) => `{"PublicIP":"0.0.0.0","PublicIPv6":"fd99::${n}"}`;

  test('join() writes an IPv6-only lease, takes it again, holds it and gives it back', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(IPV6_CONFIG);
    await harness.putLease('0.0.0.0-0&fd00:0:0:77::-64', value(2));
    const node = manager();
    const asked = { ...(await request(node, 1)), attributes: attributes(1) };
    const membership = await node.join(asked, never);
    const { lease } = membership;
    const name = `0.0.0.0-0&${formatLeaseSubnets(lease).replace('/', '-')}`;
    expect(name).toMatch(/^0\.0\.0\.0-0&fd00:0:0:[0-9a-f]+::-64$/);
    expect((await harness.leases()).get(name)).toBe(value(1));
    expect((await manager().join(asked, never)).lease).toEqual(lease);

    const follower = new Follower(manager());
    await follower.until((table) => table.size === 2);
    expect(follower.table.get(lease)).toEqual(lease);
    const controller = new AbortController();
    const holding = membership.hold(controller.signal, () => {});
    await harness.removeLease(name);
    await follower.until((table) => table.size === 1 || follower.batches.length > 1);
    await follower.until((table) => table.size === 2);
    controller.abort();
    await holding;
    await follower.stop();

    expect(await node.releaseLeases(attributes(1).publicIpv6, never)).toEqual([lease]);
    expect([...(await harness.leases()).keys()]).toEqual(['0.0.0.0-0&fd00:0:0:77::-64']);
  });

  test('join() leaves a node its subnet when the network loses IPv4, and when it gets it back', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(DUAL_CONFIG);
    const node = manager();
    const both = await request(node, 1);
    const dual = { ...both, attributes: { ...both.attributes, ...attributes(1) } };
    const { lease: first } = await node.join(dual, never);
    await harness.putConfig(IPV6_CONFIG);
    const config = await firstConfig(node, never);
    const { lease: alone } = await node.join({ config, attributes: attributes(1) }, never);
    expect(alone).toEqual({ ipv6Subnet: first.ipv6Subnet, attributes: attributes(1) });
    expect((await harness.leases()).size).toBe(1);
    const { lease: again } = await node.join({ ...dual, previous: { subnet: first.subnet! } }, never);
    expect(again).toEqual(first);
    expect((await harness.leases()).size).toBe(1);
  });
}

function describeScarcity(context: () => Context): void {
  test('join() keeps out of a subnet whose lease nobody can read', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig('{"Network":"10.5.0.0/26","SubnetLen":28,"Backend":{"Type":"udp"}}');
    await harness.putLease('10.5.0.16-28', 'garbage');
    await harness.putLease('10.5.0.32-28', leaseValue(2));
    const node = manager();
    const { lease } = await node.join(await request(node, 1), never);
    expect(formatLeaseSubnets(lease)).toBe('10.5.0.48/28');
  });

  test('join() gives 31 nodes that start at once the 31 free subnets, and the next one a clear refusal', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(SMALL_CONFIG);
    const nodes = Array.from({ length: 31 }, manager);
    const requests = await Promise.all(nodes.map((node, n) => request(node, n + 1)));
    const leases = await Promise.all(nodes.map(async (node, n) => (await node.join(requests[n]!, never)).lease));
    expect(new Set(subnets(leases)).size).toBe(31);
    expect((await harness.leases()).size).toBe(31);
    const late = manager();
    await expect(late.join(await request(late, 99), never)).rejects.toMatchObject({ code: 'OUT_OF_SUBNETS' });
  });
}

function describeRelease(context: () => Context): void {
  test('releaseLeases() gives back the own lease and no other', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    await harness.putLease('10.5.78.0-24', leaseValue(2));
    const node = manager();
    const { lease } = await node.join(await request(node, 1), never);
    expect(await node.releaseLeases(publicIp(1), never)).toMatchObject([{ subnet: lease.subnet }]);
    expect([...(await harness.leases()).keys()]).toEqual(['10.5.78.0-24']);
    expect(await node.releaseLeases(publicIp(1), never)).toEqual([]);
  });
}

function describeWatch(context: () => Context): void {
  test('peers() starts with what is there and tells what comes, changes and goes', async () => {
    const { harness, manager } = context();
    await harness.putLease('10.5.1.0-24', leaseValue(1));
    const follower = new Follower(manager());
    await follower.until((table) => table.size === 1);
    expect(follower.batches[0]).toMatchObject({ kind: 'snapshot' });

    await harness.putLease('10.5.2.0-24', leaseValue(2));
    await follower.until((table) => table.size === 2);
    await harness.putLease('10.5.1.0-24', leaseValue(3));
    await follower.until((table) => find(table, '10.5.1.0/24')?.attributes.publicIp === publicIp(3));
    await harness.removeLease('10.5.2.0-24');
    await follower.until((table) => table.size === 1);
    expect(follower.batches.map(({ kind }) => kind)).toEqual(['snapshot', 'changes', 'changes', 'changes']);
    await follower.stop();
  });

  test('peers() passes over what it cannot read', async () => {
    const { harness, manager } = context();
    await harness.putLease('10.5.1.0-24', '{"PublicIP":"none"}');
    await harness.putLease('10.5.2.0-24hi', leaseValue(2));
    const follower = new Follower(manager());
    await follower.until(() => true);
    await harness.putLease('nonsense', 'x');
    await harness.putLease('10.5.3.0-24', leaseValue(3, ',"BackendType":"vxlan","Unknown":1'));
    await follower.until((table) => table.size === 1);
    expect(subnets(follower.table.values())).toEqual(['10.5.3.0/24']);
    await follower.stop();
  });

  test('peers() tells every node of every other', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    const nodes = Array.from({ length: 4 }, manager);
    const followers = nodes.map((node) => new Follower(node));
    for (const [n, node] of nodes.entries()) await node.join(await request(node, n + 1), never);
    await Promise.all(followers.map((follower) => follower.until((table) => table.size === 4)));
    for (const follower of followers) await follower.stop();
  });
}

function describeHold(context: () => Context): void {
  test('hold() takes the same subnet again when its lease is gone', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    const node = manager();
    const membership = await node.join(await request(node, 1), never);
    const { lease } = membership;
    const controller = new AbortController();
    const holding = membership.hold(controller.signal, () => {});
    const follower = new Follower(manager());
    await follower.until((table) => table.size === 1);
    await harness.removeLease(formatLeaseSubnets(lease).replace('/', '-'));
    await follower.until((table) => table.size === 0 || follower.batches.length > 1);
    await follower.until((table) => table.size === 1);
    controller.abort();
    await holding;
    await follower.stop();
  });
}

function describeTaken(context: () => Context): void {
  test('hold() fails clearly when the subnet is another node’s', async () => {
    const { harness, manager, never } = context();
    await harness.putConfig(CONFIG);
    const node = manager();
    const membership = await node.join(await request(node, 1), never);
    const { lease } = membership;
    const holding = membership.hold(never, () => {});
    await harness.putLease(formatLeaseSubnets(lease).replace('/', '-'), leaseValue(9));
    await expect(holding).rejects.toMatchObject({ code: 'LEASE_TAKEN' });
    await expect(holding).rejects.toThrow('192.168.0.9');
  });
}

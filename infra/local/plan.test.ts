import { formatIp } from '@flannel-ts/inet/ip';
import { lastAddress, type Prefix, parsePrefix, prefixContains } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { MAX_ETCD_MEMBERS, planAddresses } from './plan.ts';

const VPC = parsePrefix('10.64.0.0/19');

describe('planAddresses()', () => {
  test('puts gateway, etcd and nodes where the documentation says', () => {
    const plan = planAddresses(VPC, 3, 3);
    expect(formatIp(plan.gateway)).toBe('10.64.0.1');
    expect(plan.etcd.map(formatIp)).toEqual(['10.64.0.4', '10.64.0.5', '10.64.0.6']);
    expect(plan.nodes.map(formatIp)).toEqual(['10.64.0.16', '10.64.0.17', '10.64.0.18']);
  });

  test('fills a VPC to its last address but the broadcast and one', () => {
    const small = parsePrefix('10.64.0.0/27');
    expect(planAddresses(small, 1, 15).nodes.map(formatIp).at(-1)).toBe('10.64.0.30');
    expect(() => planAddresses(small, 1, 16)).toThrow('VPC 10.64.0.0/27 has room for 15 nodes, 16 are asked for');
  });

  test('gives every machine its own address inside the VPC, and keeps it when others come', () => {
    const prefixes = fc
      .record({ base: fc.nat(0xffff), length: fc.integer({ min: 16, max: 26 }) })
      .map(({ base, length }): Prefix<4> => parsePrefix(`10.${base >> 8}.${base & 255}.0/${length}`));
    fc.assert(
      fc.property(
        prefixes,
        fc.integer({ min: 1, max: MAX_ETCD_MEMBERS }),
        fc.integer({ min: 1, max: 40 }),
        (vpc, etcd, nodes) => {
          const plan = planAddresses(vpc, etcd, nodes);
          const all = [plan.gateway, ...plan.etcd, ...plan.nodes];
          expect(new Set(all).size).toBe(all.length);
          expect(all.every((ip) => prefixContains(vpc, ip) && ip !== vpc.base && ip !== lastAddress(vpc))).toBe(true);
          expect(planAddresses(vpc, MAX_ETCD_MEMBERS, nodes + 1).nodes.slice(0, nodes)).toEqual(plan.nodes);
        },
      ),
    );
  });
});

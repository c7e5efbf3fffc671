import type { Mac } from '@flannel-ts/inet/mac';
import type { Command, TableName } from '@flannel-ts/nft/kernel/commands';
import { type NftConnection, withNft } from '@flannel-ts/nft/kernel/connection';
import type { SetSpec } from '@flannel-ts/nft/ruleset';
import { CniError, ErrorCode } from './errors.ts';
import { chainWith } from './nft-commands.ts';

/**
 * `macspoofchk`: a port of the bridge lets in what has the MAC address of its pod, and nothing else. Ports are elements of sets, so
 * that a packet is looked up as often however many there are.
 *
 *   set guarded { veth0123456789a }
 *   set allowed { veth0123456789a . 0a:58:0a:f4:01:05 }
 */
const TABLE: TableName = { family: 'bridge', name: 'flannel_cni_macs' };
const GUARDED: SetSpec = { name: 'guarded', key: ['ifname'] };
const ALLOWED: SetSpec = { name: 'allowed', key: ['ifname', 'ether_addr'] };

const BASE: readonly Command[] = [
  { do: 'add table', table: TABLE },
  { do: 'add set', table: TABLE, set: GUARDED },
  { do: 'add set', table: TABLE, set: ALLOWED },
  ...chainWith(
    TABLE,
    { name: 'prerouting', hook: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' } },
    [
      {
        expressions: [
          { kind: 'lookup', keys: ['iifname'], set: GUARDED.name },
          { kind: 'lookup', keys: ['iifname', 'ether saddr'], not: true, set: ALLOWED.name },
          { kind: 'drop' },
        ],
      },
    ],
  ),
];

export function addMacCheck(port: string, mac: Mac): void {
  withNft((nft) =>
    nft.apply([
      ...BASE,
      { do: 'add elements', table: TABLE, set: ALLOWED, elements: [{ key: [port, mac] }] },
      { do: 'add elements', table: TABLE, set: GUARDED, elements: [{ key: [port] }] },
    ]),
  );
}

/** With the last port the table goes. */
export function removeMacCheck(port: string): void {
  withNft((nft) =>
    nft.change((now) => {
      const guarded = now.elements(TABLE, GUARDED);
      if (guarded === undefined) return [];
      const keys = allowedAt(now, port);
      const isGuarded = guarded.some(({ key }) => key[0] === port);
      if (keys.length === 0 && !isGuarded) return [];
      if (guarded.every(({ key }) => key[0] === port)) return [{ do: 'delete table', table: TABLE }];
      return [
        ...(keys.length > 0 ? [{ do: 'delete elements', table: TABLE, set: ALLOWED, keys } as const] : []),
        ...(isGuarded ? [{ do: 'delete elements', table: TABLE, set: GUARDED, keys: [[port]] } as const] : []),
      ];
    }),
  );
}

function allowedAt(nft: NftConnection, port: string) {
  return (nft.elements(TABLE, ALLOWED) ?? []).map(({ key }) => key).filter(([name]) => name === port);
}

export function checkMacCheck(port: string, mac: string): void {
  const isThere = withNft(
    (nft) =>
      nft.element(TABLE, GUARDED, [port]) !== undefined && nft.element(TABLE, ALLOWED, [port, mac]) !== undefined,
  );
  if (isThere) return;
  const command = `nft list table ${TABLE.family} ${TABLE.name}`;
  throw new CniError(ErrorCode.checkFailed, `the check of MAC addresses of ${port} is missing`, command);
}

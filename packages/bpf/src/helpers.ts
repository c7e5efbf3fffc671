/** Functions of the kernel that programs call, by the names of bpf-helpers(7) without `bpf_` (linux/bpf.h, ___BPF_FUNC_MAPPER). */
export const HELPERS = {
  map_lookup_elem: 1,
  map_update_elem: 2,
  map_delete_elem: 3,
  ktime_get_ns: 5,
  trace_printk: 6,
  get_prandom_u32: 7,
  get_smp_processor_id: 8,
  skb_store_bytes: 9,
  l3_csum_replace: 10,
  l4_csum_replace: 11,
  tail_call: 12,
  clone_redirect: 13,
  skb_vlan_push: 18,
  skb_vlan_pop: 19,
  redirect: 23,
  skb_load_bytes: 26,
  csum_diff: 28,
  skb_change_proto: 31,
  skb_change_type: 32,
  get_hash_recalc: 34,
  skb_change_tail: 38,
  skb_pull_data: 39,
  csum_update: 40,
  set_hash_invalid: 41,
  skb_change_head: 43,
  xdp_adjust_head: 44,
  skb_adjust_room: 50,
  redirect_map: 51,
  xdp_adjust_tail: 65,
  fib_lookup: 69,
  map_push_elem: 87,
  skb_ecn_set_ce: 97,
  csum_level: 135,
  ringbuf_output: 130,
  ringbuf_reserve: 131,
  ringbuf_submit: 132,
  ringbuf_discard: 133,
  redirect_neigh: 152,
  redirect_peer: 155,
  check_mtu: 163,
  skb_set_tstamp: 192,
} as const;

export type HelperName = keyof typeof HELPERS;

const NAMES: ReadonlyMap<number, HelperName> = new Map(
  (Object.entries(HELPERS) as [HelperName, number][]).map(([name, number]) => [number, name]),
);

export function helperName(number: number): HelperName | undefined {
  return NAMES.get(number);
}

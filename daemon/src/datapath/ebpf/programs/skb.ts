/** What programs at a device's packets know and answer: linux/bpf.h, linux/pkt_cls.h. */
import { at } from '@flannel-ts/bpf/assembler';
import type { Memory, Register } from '@flannel-ts/bpf/instruction';

const FIELDS = {
  len: 0,
  protocol: 16,
  ifindex: 40,
  data: 76,
  dataEnd: 80,
  gsoSize: 176,
} as const;

/** A field of `struct __sk_buff`, of 32 bits. */
export function skb(context: Register, field: keyof typeof FIELDS): Memory {
  return at(context, FIELDS[field]);
}

/** Bytes of `struct __sk_buff`, and where a test gives the size of segments. */
export const SKB_BYTES = 192;
export const SKB_GSO_SIZE = FIELDS.gsoSize;

/** The packet goes on as if there were no program: TC_ACT_UNSPEC, TCX_NEXT. */
export const GO_ON = -1;
export const DROP = 2;
export const REDIRECTED = 7;

export const ADJUST_BEHIND_LINK_HEADER = 1; // BPF_ADJ_ROOM_MAC
export const ADJUST = {
  fixedGso: 1 << 0,
  outerIpv4: 1 << 1,
  outerUdp: 1 << 4,
  keepChecksum: 1 << 5, // BPF_F_ADJ_ROOM_NO_CSUM_RESET
  innerIpv4: 1 << 7, // BPF_F_ADJ_ROOM_DECAP_L3_IPV4
  innerIpv6: 1 << 8,
} as const;

export const REDIRECT_INGRESS = 1;
export const RECOMPUTE_CHECKSUM = 1;
export const CHECKSUM_LEVEL_DOWN = 2; // BPF_CSUM_LEVEL_DEC

/** struct bpf_fib_lookup */
export const FIB_BYTES = 64;
export const FIB = {
  family: 0,
  protocol: 1,
  port: 4,
  totalLength: 6,
  ifindex: 8,
  source: 16,
  destination: 32,
} as const;
export const FIB_FRAGMENTATION_NEEDED = 8;

export const AF_INET = 2;

export const ETHERNET = 14;
export const IPV4 = 20;
export const IPV6 = 40;
export const UDP = 8;
/** What the wire format adds to a packet. */
export const OUTER = IPV4 + UDP;

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;
export const NEXT_EXTENSIONS = [0, 43, 44, 60] as const;
export const ETHERTYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;

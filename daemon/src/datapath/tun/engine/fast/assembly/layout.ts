/*
 * The one WebAssembly memory of a fast engine's worker, and its layout. Read by both sides, AssemblyScript and TypeScript, so
 * it holds nothing but constants both understand. Offsets are from the start of the memory; the system calls get the address of
 * the start plus the offset. Nothing moves or grows: an address stays right for the life of the worker.
 *
 * Outgoing: the device is read into the arena; each packet or super-packet becomes segments, one or two iovecs each, in the plan of
 * its flow's source port; segments in a row become messages, one mmsghdr each; the messages of a plan are one sendmmsg.
 *
 * Incoming: recvmmsg fills the slots; each packet joins an entry or opens one; an entry is one writev on the device.
 */

/** AssemblyScript keeps its few constants and globals below. */
export const FIRST_FREE = 65536;

/** struct virtio_net_hdr of linux/virtio_net.h, the size a TUN device has by default. */
export const VNET_BYTES = 10;
/** The largest read of a device: that header and an IPv4 packet. */
export const MAX_READ = 10 + 65535;
export const IOVEC_BYTES = 16;
export const MMSGHDR_BYTES = 64;
/** Room for a sockaddr of either family; what it does not fill is zero. */
export const NAME_STRIDE = 32;
/** CMSG_SPACE of a u16 or an int is 24. */
export const CONTROL_BYTES = 32;

// Outgoing

export const ARENA = FIRST_FREE;
export const ARENA_BYTES = 512 * 1024;
/** Enough for a super-packet of the smallest TCP segments (48 bytes, net.ipv4.tcp_min_snd_mss). */
export const MAX_SEGMENTS = 2048;
/** The IPv4 and the TCP header, 60 bytes each at most. */
export const HEADER_STRIDE = 128;
export const HEADERS = ARENA + ARENA_BYTES;

// Incoming

export const SLOTS = 16;
/** More than any datagram; not a power of two, so that the slots do not share their sets of the processor's caches. */
export const SLOT_STRIDE = 65536 + 4096 + 192;
export const SLOT_BYTES = 65536;
export const RECEIVE_SLOTS = HEADERS + MAX_SEGMENTS * HEADER_STRIDE;
export const RECEIVE_MESSAGES = RECEIVE_SLOTS + SLOTS * SLOT_STRIDE;
export const RECEIVE_IOVECS = RECEIVE_MESSAGES + SLOTS * MMSGHDR_BYTES;
export const RECEIVE_NAMES = RECEIVE_IOVECS + SLOTS * IOVEC_BYTES;
export const RECEIVE_CONTROLS = RECEIVE_NAMES + SLOTS * NAME_STRIDE;
/** Per slot, for TypeScript to read: length, GRO size or 0, sender, 1 when it did not fit the slot. */
export const RECEIVED = RECEIVE_CONTROLS + SLOTS * CONTROL_BYTES;
export const RECEIVED_BYTES = 16;

export const MAX_ENTRIES = 1024;
/** UDP_MAX_SEGMENTS of kernels before 6.9, which also check writes to a TUN device against it. */
export const MAX_MERGED = 64;
export const ENTRIES = RECEIVE_CONTROLS + SLOTS * CONTROL_BYTES + SLOTS * RECEIVED_BYTES;
export const ENTRY_BYTES = 64;
export const ENTRY_HEADERS = ENTRIES + MAX_ENTRIES * ENTRY_BYTES;
export const ENTRY_IOVECS = ENTRY_HEADERS + MAX_ENTRIES * HEADER_STRIDE;
export const ENTRY_IOVECS_BYTES = (MAX_MERGED + 1) * IOVEC_BYTES;
/** Flow hash -> entry + 1. */
export const FLOWS = ENTRY_IOVECS + MAX_ENTRIES * ENTRY_IOVECS_BYTES;
export const FLOW_COUNT = 256;

// Both

/** An empty virtio header, for a packet that is written as it came. */
export const NO_VNET = FLOWS + FLOW_COUNT * 4;
/** Two iovecs for a packet of an entry that is written again alone. */
export const SPARE_IOVECS = NO_VNET + 16;
/** The packet that an ICMP error is about, as far as it is quoted. */
export const OFFENDER = SPARE_IOVECS + 32;
export const OFFENDER_BYTES = 1280;
/** An ICMP error, behind an empty virtio header. */
export const ANSWER = OFFENDER + OFFENDER_BYTES + 16;
export const ANSWER_BYTES = 1280;
/** Where it goes. */
export const ANSWER_NAME = ANSWER + ANSWER_BYTES;
/** The last name written and the last one met: packets come in bursts of one flow. */
export const LAST_TARGET = ANSWER_NAME + NAME_STRIDE;
export const LAST_SENDER = LAST_TARGET + NAME_STRIDE;
/** The device's own IPv6 address. */
export const OWN_ADDRESS6 = LAST_SENDER + NAME_STRIDE;
/** The path to the peer whose name is at LAST_TARGET: the largest packet, and the length from which packets are sent one by one. */
export const TARGET_LIMIT = OWN_ADDRESS6 + 16;
export const TARGET_UNSEGMENTED = TARGET_LIMIT + 4;

/**
 * A plan for each source port: what its socket sends by one sendmmsg. Not a power of two apart, so that they do not share their sets
 * of the processor's caches. Last, since as a rule there is one, and memory that nobody writes to is never taken.
 */
export const MAX_SOURCES = 16;
export const PLANS = (TARGET_UNSEGMENTED + 4 + 63) & ~63;

// Of a plan, from its start

export const SEND_IOVECS = 0;
export const MESSAGES = SEND_IOVECS + MAX_SEGMENTS * 2 * IOVEC_BYTES;
/** Per message, beside the mmsghdr: first segment, number of segments, bytes, peer. */
export const MESSAGE_FACTS = MESSAGES + (MAX_SEGMENTS + 1) * MMSGHDR_BYTES;
export const MESSAGE_FACTS_BYTES = 16;
/** Per segment: first iovec, number of iovecs, length. */
export const SEGMENTS = MESSAGE_FACTS + (MAX_SEGMENTS + 1) * MESSAGE_FACTS_BYTES;
export const SEGMENT_BYTES = 12;
export const SEND_NAMES = SEGMENTS + MAX_SEGMENTS * 16;
export const SEND_CONTROLS = SEND_NAMES + (MAX_SEGMENTS + 1) * NAME_STRIDE;
/** The mmsghdr, name and control behind the last ones: for a segment that is sent again alone. */
export const SPARE_MESSAGE = MAX_SEGMENTS;
/** How far the plan has come, while another one is made: plan.ts. */
export const PLAN_STATE = SEND_CONTROLS + (MAX_SEGMENTS + 1) * CONTROL_BYTES;
export const PLAN_STRIDE = PLAN_STATE + 32 + 192;

export const MEMORY_PAGES = 208;

// Fields of an entry

export const ENTRY_FIRST = 0; // offset of its first packet
export const ENTRY_HEADER = 4; // length of its headers, 0 for a packet that never merges
export const ENTRY_SIZE = 8; // payload of each packet but the last
export const ENTRY_COUNT = 12; // packets
export const ENTRY_PAYLOAD = 16; // of all packets together
export const ENTRY_SEQUENCE = 20; // the TCP sequence number that comes next
export const ENTRY_STATE = 24;
export const ENTRY_SENDER = 28;
export const ENTRY_IOVEC_COUNT = 32;
export const ENTRY_PACKET_BYTES = 36; // of the packets as they came

// Verdicts of reasons.ts

export const TOO_SHORT = -1;
export const NOT_IPV4 = -2;
export const MALFORMED = -3;
export const BAD_CHECKSUM = -4;
export const NO_ROUTE = -5;
export const TTL_EXPIRED = -6;
export const TOO_BIG = -7;
export const TRUNCATED = -8;
export const UNKNOWN_PEER = -9;
export const SPOOFED_SOURCE = -10;
export const ENCAPSULATION_LOOP = -13;
/** Not a verdict: the plan is full; send it, then try again. */
export const PLAN_FULL = -1000;

/** Tracked connections, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h). */
import { NETLINK_NETFILTER } from '@flannel-ts/linux/socket';
import {
  type Attributes,
  attribute,
  attributeBe16,
  attributeNested,
  attributeU8,
  attributeU32,
  parseAttributes,
  readBe16,
  readNested,
  readU8,
} from '@flannel-ts/rtnetlink/attributes';
import { type Netlink, type NetlinkOptions, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { header } from './commands.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6 } from './constants.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT of net/netfilter/nf_conntrack_netlink.c */
const FILTER_BY_PORT = (1 << 3) | (1 << 5);
const IPPROTO_UDP = 17;

const message = (type: number): number => (NFNL_SUBSYS_CTNETLINK << 8) | type;

/**
 * Forgets the UDP connections that were begun to this port of any address: a connection is translated as its first packet was, so
 * that what came before a rule (or follows it after its end) would go on as before. Returns how many there were.
 *
 * Equivalent to `conntrack -D -p udp --orig-port-dst PORT`.
 */
export function forgetUdpConnections(port: number, options: Omit<NetlinkOptions, 'protocol'> = {}): number {
  return withNetlink({ ...options, protocol: NETLINK_NETFILTER }, (nl) => {
    let count = 0;
    for (const family of [NFPROTO_IPV4, NFPROTO_IPV6]) {
      for (const connection of listUdp(nl, family, port)) count += Number(forget(nl, family, connection, port));
    }
    return count;
  });
}

/** The kernel filters from Linux 5.8 on; before, it sends all. */
function listUdp(nl: Netlink, family: number, port: number): Attributes[] {
  const proto = [attributeU8(CTA_PROTO_NUM, IPPROTO_UDP), attributeBe16(CTA_PROTO_DST_PORT, port)];
  const filter = [
    attributeNested(CTA_TUPLE_ORIG, [attributeNested(CTA_TUPLE_PROTO, proto)]),
    attributeNested(CTA_FILTER, [
      attributeU32(CTA_FILTER_ORIG_FLAGS, FILTER_BY_PORT),
      attributeU32(CTA_FILTER_REPLY_FLAGS, 0),
    ]),
  ];
  return nl
    .dump({
      type: message(IPCTNL_MSG_CT_GET),
      parts: [header(family), ...filter],
      operation: `list UDP connections to port ${port}`,
    })
    .map(({ payload }) => parseAttributes(payload.subarray(4)))
    .filter((connection) => {
      const tuple = readNested(readNested(connection, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO);
      return readU8(tuple, CTA_PROTO_NUM) === IPPROTO_UDP && readBe16(tuple, CTA_PROTO_DST_PORT) === port;
    });
}

function forget(nl: Netlink, family: number, connection: Attributes, port: number): boolean {
  const kept = [CTA_TUPLE_ORIG, CTA_ZONE].flatMap((type) => {
    const payload = connection.get(type);
    return payload === undefined ? [] : [attribute(type, payload)];
  });
  try {
    nl.request({
      type: message(IPCTNL_MSG_CT_DELETE),
      parts: [header(family), ...kept],
      operation: `forget a UDP connection to port ${port}`,
    });
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'ENOENT')) return false; // it has ended by itself
    throw error;
  }
}

/**
 * The number of the ruleset in force, which every transaction of anybody changes: as long as it stays the same, so do all rules.
 * It is per network namespace, and asking costs a system call or two where `nft list` costs a process.
 */
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  AF_NETLINK,
  NETLINK_NETFILTER,
  recv,
  SO_RCVTIMEO,
  SOCK_RAW,
  sendTo,
  setSocketTimeout,
  socket,
} from '@flannel-ts/linux/socket';

// linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
const NLM_F_REQUEST = 1;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;
const HEADER_BYTES = 20; // nlmsghdr and nfgenmsg

/** The kernel answers before the request returns; the timeout is a backstop. */
const TIMEOUT_MS = 1000;

const message = (type: number): number => (NFNL_SUBSYS_NFTABLES << 8) | type;

/** A connection to the ruleset of the namespace in which it was opened. */
export class RulesetGeneration {
  private readonly fd: Fd;
  private readonly request = new Uint8Array(HEADER_BYTES);
  private readonly answer = new Uint8Array(4096);

  constructor() {
    this.fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    setSocketTimeout(this.fd, SO_RCVTIMEO, TIMEOUT_MS);
    const header = new DataView(this.request.buffer);
    header.setUint32(0, HEADER_BYTES, true);
    header.setUint16(4, message(NFT_MSG_GETGEN), true);
    header.setUint16(6, NLM_F_REQUEST, true);
  }

  /** Undefined where the kernel does not report it; throws a SystemError when it does not answer. */
  current(): number | undefined {
    sendTo(this.fd, this.request);
    const length = recv(this.fd, this.answer);
    const view = new DataView(this.answer.buffer, 0, length);
    if (length < HEADER_BYTES || view.getUint16(4, true) !== message(NFT_MSG_NEWGEN)) return undefined;
    for (let at = HEADER_BYTES; at + 8 <= length; at += (view.getUint16(at, true) + 3) & ~3) {
      if (view.getUint16(at + 2, true) === NFTA_GEN_ID) return view.getUint32(at + 4);
      if (view.getUint16(at, true) < 4) return undefined;
    }
    return undefined;
  }

  close(): void {
    closeFd(this.fd);
  }
}

import { formatInterfaceAddress } from '@flannel-ts/inet/prefix';
import type { Fd } from '@flannel-ts/linux/files';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link, setLink } from '@flannel-ts/rtnetlink/link';
import { CniError, ErrorCode } from '../errors.ts';
import { withSandbox, withSandboxIfAny } from '../netns.ts';
import type { Request } from '../protocol.ts';
import { type CniAddress, type CniResult, decodePreviousResult, formatResult } from '../result.ts';
import type { Program } from './program.ts';

/** The CNI project's `loopback`: sets `lo` up, which containerd before 2.0 does not do by itself. */
export const loopback: Program = (request, answer) => {
  switch (request.command) {
    case 'ADD':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) =>
        answer(formatResult(setUp(request, sandbox), request.version)),
      );
      break;
    case 'DEL':
      withSandboxIfAny(request.netns, request.mayUseOwnNetns, (sandbox) => {
        if (sandbox !== undefined) withNetlink({ netns: sandbox }, (pod) => setLink(pod, lo(pod).index, { up: false }));
      });
      break;
    case 'CHECK':
      withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) =>
        withNetlink({ netns: sandbox }, (pod) => {
          if (!lo(pod).up) throw new CniError(ErrorCode.checkFailed, 'loopback interface is down');
        }),
      );
      break;
    default: // GC and STATUS: there is nothing to keep, and nothing to be missing
  }
};

/** A result of a plugin before is passed on as it is. */
function setUp(request: Request, sandbox: Fd): CniResult {
  return withNetlink({ netns: sandbox }, (pod) => {
    const { index } = lo(pod);
    setLink(pod, index, { up: true });
    const previous = decodePreviousResult(request.config, request.version);
    if (previous !== undefined) return previous;
    const ips = ([4, 6] as const)
      .flatMap((family) => listAddresses(pod, { index, family }))
      .map(({ address }): CniAddress => ({ interface: 0, address: formatInterfaceAddress(address) }));
    const link = { name: request.ifName, mac: '00:00:00:00:00:00', sandbox: request.netns };
    return { interfaces: [link], ips, routes: [], dns: {} };
  });
}

function lo(pod: Netlink): Link {
  const link = getLink(pod, 'lo');
  if (link === undefined) throw new CniError(ErrorCode.internal, 'the namespace has no interface lo');
  return link;
}

import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, type Link } from '@flannel-ts/rtnetlink/link';
import { addBandwidth, checkBandwidth, parseBandwidth, removeBandwidth, removeStaleBandwidth } from '../bandwidth.ts';
import { CniError, ErrorCode } from '../errors.ts';
import { hostInterfaceName } from '../names.ts';
import { withSandbox } from '../netns.ts';
import type { Request } from '../protocol.ts';
import type { CniResult } from '../result.ts';
import { Undo } from '../undo.ts';
import { answerOrUndo, type Program, requirePrevious, validAttachments } from './program.ts';

/** The CNI project's `bandwidth`: limits for an interface that a plugin before has made. */
export const bandwidth: Program = (request, answer) => {
  const hostName = hostInterfaceName(request.containerId, request.ifName);
  switch (request.command) {
    case 'ADD': {
      const undo = new Undo();
      answerOrUndo(request, undo, answer, () => add(request, hostName, undo));
      break;
    }
    case 'DEL':
      withNetlink({}, (nl) => removeBandwidth(nl, hostName));
      break;
    case 'CHECK': {
      const limits = parseBandwidth(request.config);
      if (limits === undefined) return;
      const port = portOf(request, requirePrevious(request));
      withNetlink({}, (nl) => checkBandwidth(nl, hostName, port, limits));
      break;
    }
    case 'GC': {
      const valid = validAttachments(request.config);
      if (valid === undefined) return;
      const names = valid.map(({ containerId, ifName }) => hostInterfaceName(containerId, ifName));
      withNetlink({}, (nl) => removeStaleBandwidth(nl, request.networkName, new Set(names)));
      break;
    }
    default:
      parseBandwidth(request.config);
  }
};

function add(request: Request, hostName: string, undo: Undo): CniResult {
  const limits = parseBandwidth(request.config);
  const previous = requirePrevious(request);
  if (limits === undefined) return previous;
  const port = portOf(request, previous);
  const { networkName, containerId, ifName } = request;
  return withNetlink({}, (nl) => {
    undo.push(() => withNetlink({}, (again) => removeBandwidth(again, hostName)));
    const ifb = addBandwidth(nl, { hostName, network: networkName, containerId, ifName }, port, limits);
    if (ifb === undefined) return previous;
    return { ...previous, interfaces: [...previous.interfaces, { name: ifb.name, ...(ifb.mac && { mac: ifb.mac }) }] };
  });
}

/** The host's end of the pod's interface, as the kernel says, and as one of those in the result. */
function portOf(request: Request, { interfaces }: CniResult): Link {
  const peer = withSandbox(request.netns, request.mayUseOwnNetns, (sandbox) =>
    withNetlink({ netns: sandbox }, (pod) => getLink(pod, request.ifName)?.peerIndex),
  );
  const link = peer === undefined ? undefined : withNetlink({}, (nl) => getLink(nl, peer));
  const isKnown = interfaces.some(({ name, sandbox }) => name === link?.name && !sandbox);
  if (link !== undefined && isKnown) return link;
  throw new CniError(
    ErrorCode.invalidNetworkConfig,
    'no veth peer of container interface found in host ns',
    `${request.ifName} of ${request.netns}: bandwidth is limited at the host's end of a veth pair`,
  );
}

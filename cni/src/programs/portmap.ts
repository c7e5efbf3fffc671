import { type Ip, isIpv4 } from '@flannel-ts/inet/ip';
import type { InterfaceAddress } from '@flannel-ts/inet/prefix';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { lookUpRoute } from '@flannel-ts/rtnetlink/route';
import { podAddresses, portOwner } from '../capabilities.ts';
import { hostInterfaceName, networkHash } from '../names.ts';
import { parsePortSettings } from '../port-config.ts';
import { addPorts, checkPorts, removePorts, removeStalePorts } from '../ports.ts';
import type { Request } from '../protocol.ts';
import type { CniResult } from '../result.ts';
import { Undo } from '../undo.ts';
import { answerOrUndo, type Program, requirePrevious, validAttachments } from './program.ts';

/** The CNI project's `portmap`: the node's ports for an interface that a plugin before has made. */
export const portmap: Program = (request, answer) => {
  switch (request.command) {
    case 'ADD': {
      const undo = new Undo();
      answerOrUndo(request, undo, answer, () => add(request, undo));
      break;
    }
    case 'DEL':
      removePorts(portOwner(request));
      break;
    case 'CHECK': {
      const settings = parsePortSettings(request.config);
      if (settings.mappings.length === 0) return;
      checkPorts(portOwner(request), settings, podAddresses(request, requirePrevious(request)));
      break;
    }
    case 'GC': {
      const valid = validAttachments(request.config);
      if (valid === undefined) return;
      const names = valid.map(({ containerId, ifName }) => hostInterfaceName(containerId, ifName));
      removeStalePorts(networkHash(request.networkName), new Set(names));
      break;
    }
    default:
      parsePortSettings(request.config);
  }
};

function add(request: Request, undo: Undo): CniResult {
  const previous = requirePrevious(request);
  const settings = parsePortSettings(request.config);
  if (settings.mappings.length === 0) return previous;
  const owner = portOwner(request);
  const addresses = podAddresses(request, previous);
  undo.push(() => removePorts(owner));
  addPorts(owner, settings, addresses, deviceTo(addresses));
  return previous;
}

/** By which the node sends to the pod. */
function deviceTo(addresses: readonly InterfaceAddress[]): string | undefined {
  const first = addresses.find(({ address }) => isIpv4(address as Ip));
  if (first === undefined) return undefined;
  return withNetlink({}, (nl) => {
    const index = lookUpRoute(nl, first.address)?.outIndex;
    return index === undefined ? undefined : getLink(nl, index)?.name;
  });
}

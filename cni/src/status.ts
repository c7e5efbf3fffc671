import type { JsonObject } from '@flannel-ts/flannel/go-json';
import type { NetConf } from '@flannel-ts/flannel/netconf';
import { probeWritable } from '@flannel-ts/linux/text-files';
import { whyNotReady } from './ask-flanneld.ts';
import { parseBridgeConfig } from './bridge-config.ts';
import { delegateType, ipamType } from './delegate.ts';
import { CniError, codeOf, ErrorCode, messageOf, toCniError } from './errors.ts';
import { execPlugin } from './exec.ts';
import { parseHostLocal } from './ipam/config.ts';
import type { Request } from './protocol.ts';

/**
 * STATUS: whether the next ADD would find what it needs. A runtime takes a node that is not ready out of service, so that only
 * what stops every ADD counts: a range in which all addresses are in use is a full node, which is well.
 */
export function reportStatus(request: Request, conf: NetConf, render: (conf: NetConf) => JsonObject): void {
  try {
    const rendered = render(conf);
    const reason = whyNotReady(conf.subnetFile);
    // Pods that are there may not reach others either.
    if (reason !== undefined) throw new CniError(ErrorCode.limitedConnectivity, reason);
    requireWritable(conf.dataDir);
    const type = delegateType(rendered);
    const ipam = ipamType(rendered);
    if (type !== 'bridge') return void execPlugin(type, 'STATUS', request, rendered);
    parseBridgeConfig(rendered, new Map());
    if (ipam !== 'host-local') return void execPlugin(ipam, 'STATUS', request, rendered);
    requireWritable(parseHostLocal(rendered, request.networkName, request.version, new Map()).directory);
  } catch (error) {
    const { code, message, details } = toCniError(error);
    const isStatus = code === ErrorCode.pluginNotAvailable || code === ErrorCode.limitedConnectivity;
    throw new CniError(isStatus ? code : ErrorCode.pluginNotAvailable, message, details, { cause: error });
  }
}

/** A directory that is not there yet is made in the nearest one that is. */
function requireWritable(directory: string): void {
  try {
    probeWritable(directory);
  } catch (error) {
    const code = codeOf(error);
    const slash = directory.lastIndexOf('/');
    if (code === 'ENOENT') {
      requireWritable(slash <= 0 ? '/' : directory.slice(0, slash));
      return;
    }
    if (code === 'EOPNOTSUPP' || code === 'EISDIR') return; // no such files there, which says nothing
    throw new CniError(ErrorCode.pluginNotAvailable, `cannot write in ${directory}: ${messageOf(error)}`);
  }
}

/**
 * Generic netlink, by which parts of the kernel offer commands under a name: `struct genlmsghdr { u8 cmd; u8 version; u16 reserved; }`
 * and attributes (linux/genetlink.h). The numbers of these families are given out when they are loaded, and asked for by name.
 */
import { NETLINK_GENERIC } from '@flannel-ts/linux/socket';
import { attributeString, parseAttributes, readU16, readU32 } from './attributes.ts';
import { type Netlink, type NetlinkOptions, openNetlink } from './connection.ts';
import { checkLength, isNetlinkError, NetlinkError } from './errors.ts';

// linux/genetlink.h
export const GENL_ID_CTRL = 0x10;
export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;
export const CTRL_ATTR_VERSION = 3;

const GENLMSGHDR_LENGTH = 4;

export interface GenericRequest {
  readonly command: number;
  readonly attributes: readonly Uint8Array[];
  /** What is tried, to be read after "Cannot" if it fails. */
  readonly operation: string;
}

/** One family on a connection of its own: what a kernel offers under one name. */
export class GenericFamily {
  constructor(
    private readonly nl: Netlink,
    readonly name: string,
    readonly id: number,
    readonly version: number,
  ) {}

  /** Sends one command; the attributes of each reply that comes before its acknowledgement. */
  request(request: GenericRequest): Uint8Array[] {
    return this.nl.request(this.#message(request)).map(({ payload }) => attributesOf(payload, request.operation));
  }

  /** Lists objects; the attributes of each message. An object may be spread over several messages. */
  dump(request: GenericRequest): Uint8Array[] {
    return this.nl.dump(this.#message(request)).map(({ payload }) => attributesOf(payload, request.operation));
  }

  close(): void {
    this.nl.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #message({ command, attributes, operation }: GenericRequest) {
    return { type: this.id, parts: [encodeGenericHeader(command, this.version), ...attributes], operation };
  }
}

/** Opens a connection to the family of this name, whose module the kernel loads if it can. ENOENT if there is none. */
export function openGenericFamily(name: string, options: Omit<NetlinkOptions, 'protocol'> = {}): GenericFamily {
  const nl = openNetlink({ ...options, protocol: NETLINK_GENERIC });
  try {
    return findGenericFamily(nl, name);
  } catch (error) {
    nl.close();
    throw error;
  }
}

/** @param nl a connection of the protocol NETLINK_GENERIC */
export function findGenericFamily(nl: Netlink, name: string): GenericFamily {
  const operation = `find the generic netlink family ${name}`;
  const [reply] = askForFamily(nl, name, operation);
  const attributes = parseAttributes(attributesOf(reply?.payload ?? new Uint8Array(0), operation));
  const id = readU16(attributes, CTRL_ATTR_FAMILY_ID);
  if (id === undefined) throw new NetlinkError('EBADMSG', operation, 'the reply has no CTRL_ATTR_FAMILY_ID');
  return new GenericFamily(nl, name, id, readU32(attributes, CTRL_ATTR_VERSION) ?? 1);
}

function askForFamily(nl: Netlink, name: string, operation: string) {
  try {
    return nl.request({
      type: GENL_ID_CTRL,
      parts: [encodeGenericHeader(CTRL_CMD_GETFAMILY, 1), attributeString(CTRL_ATTR_FAMILY_NAME, name)],
      operation,
    });
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT')) throw error;
    throw new NetlinkError('ENOENT', operation, `this kernel has none, and no module that brings it`);
  }
}

function encodeGenericHeader(command: number, version: number): Uint8Array {
  return Uint8Array.of(command, version, 0, 0);
}

function attributesOf(payload: Uint8Array, operation: string): Uint8Array {
  checkLength(payload, GENLMSGHDR_LENGTH, operation);
  return payload.subarray(GENLMSGHDR_LENGTH);
}

/**
 * Offloads and other features of a device: `ethtool -k` and `ethtool -K`, by the generic netlink family `ethtool` (Linux 5.8;
 * linux/ethtool_netlink.h). Names are those that `ethtool -k` prints, like `tx-checksum-ip-generic`.
 */
import {
  attributeFlag,
  attributeNested,
  attributeString,
  attributeU32,
  listAttributes,
  parseAttributes,
  readNested,
  readString,
} from './attributes.ts';
import { NetlinkError } from './errors.ts';
import { type GenericFamily, openGenericFamily } from './generic.ts';

const ETHTOOL_MSG_FEATURES_GET = 11;
const ETHTOOL_MSG_FEATURES_SET = 12;
const ETHTOOL_A_FEATURES_HEADER = 1;
const ETHTOOL_A_FEATURES_WANTED = 3;
const ETHTOOL_A_FEATURES_ACTIVE = 4;
const ETHTOOL_A_HEADER_DEV_INDEX = 1;
const ETHTOOL_A_BITSET_BITS = 3;
const ETHTOOL_A_BITSET_BITS_BIT = 1;
const ETHTOOL_A_BITSET_BIT_NAME = 2;
const ETHTOOL_A_BITSET_BIT_VALUE = 3;

export function openEthtool(options: { readonly netns?: string | undefined } = {}): GenericFamily {
  return openGenericFamily('ethtool', options);
}

/** Names of the features that are on. */
export function activeFeatures(ethtool: GenericFamily, index: number): ReadonlySet<string> {
  const operation = `read the features of link ${index}`;
  const attributes = [deviceHeader(ETHTOOL_A_FEATURES_HEADER, index)];
  const [reply] = ethtool.request({ command: ETHTOOL_MSG_FEATURES_GET, attributes, operation });
  if (!reply) throw new NetlinkError('EBADMSG', operation, 'the kernel sent no reply');
  return namesOn(readNested(parseAttributes(reply), ETHTOOL_A_FEATURES_ACTIVE).get(ETHTOOL_A_BITSET_BITS));
}

/**
 * `ethtool -K DEV FEATURE on|off`. Whether the device follows is another question, which activeFeatures() answers: it may keep a
 * feature that it cannot do without, or that another one needs.
 */
export function setFeature(ethtool: GenericFamily, index: number, name: string, on: boolean): void {
  const bit = [attributeString(ETHTOOL_A_BITSET_BIT_NAME, name)];
  if (on) bit.push(attributeFlag(ETHTOOL_A_BITSET_BIT_VALUE));
  const bits = attributeNested(ETHTOOL_A_BITSET_BITS, [attributeNested(ETHTOOL_A_BITSET_BITS_BIT, bit)]);
  ethtool.request({
    command: ETHTOOL_MSG_FEATURES_SET,
    attributes: [deviceHeader(ETHTOOL_A_FEATURES_HEADER, index), attributeNested(ETHTOOL_A_FEATURES_WANTED, [bits])],
    operation: `turn ${on ? 'on' : 'off'} ${name} of link ${index}`,
  });
}

function deviceHeader(type: number, index: number): Uint8Array {
  return attributeNested(type, [attributeU32(ETHTOOL_A_HEADER_DEV_INDEX, index)]);
}

/** In ACTIVE, which has no mask, only what is on is listed. */
function namesOn(bits: Uint8Array | undefined): ReadonlySet<string> {
  const names = listAttributes(bits ?? new Uint8Array(0)).map(({ payload }) =>
    readString(parseAttributes(payload), ETHTOOL_A_BITSET_BIT_NAME),
  );
  return new Set(names.filter((name) => name !== undefined));
}

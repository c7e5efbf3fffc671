/**
 * What others write is read without surprises: each parser returns, or throws the error that it is documented to throw. Inputs are
 * broken copies of good ones. FUZZ_RUNS says how many for each parser, or FUZZ_SECONDS how long for all of them; FUZZ_SEED begins with
 * those of an earlier run.
 */
import { checkNetworkConfig } from '@flannel-ts/flannel/config-check';
import { FlannelError } from '@flannel-ts/flannel/errors';
import { formatLeaseKey, parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { parseNetConf } from '@flannel-ts/flannel/netconf';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseSubnetEnv } from '@flannel-ts/flannel/subnet-env';
import { parseVxlanData } from '@flannel-ts/flannel/vxlan-data';
import { parseWireguardData } from '@flannel-ts/flannel/wireguard-data';
import { NftError } from '@flannel-ts/nft/errors';
import { readChains, readListing } from '@flannel-ts/nft/listing';
import { parseAddress } from '@flannel-ts/rtnetlink/address';
import { attributeNested, attributeString, attributeU32, concatBytes } from '@flannel-ts/rtnetlink/attributes';
import { NetlinkError } from '@flannel-ts/rtnetlink/errors';
import { parseLink } from '@flannel-ts/rtnetlink/link-codec';
import { encodeMessage, parseAcknowledgement, parseMessages } from '@flannel-ts/rtnetlink/message';
import { parseNeighbour } from '@flannel-ts/rtnetlink/neighbour';
import { parseRoute } from '@flannel-ts/rtnetlink/route';
import fc from 'fast-check';
import { readIptablesSave } from '../../daemon/src/firewall/iptables.ts';

const { FUZZ_RUNS, FUZZ_SECONDS, FUZZ_SEED } = process.env;
const MANY = 1_000_000_000;

/** fast-check's, for one of all parsers. */
function options() {
  const share = FUZZ_SECONDS && (1000 * Number(FUZZ_SECONDS)) / (TEXTS.length + BYTES.length);
  return {
    ...(share ? { numRuns: MANY, interruptAfterTimeLimit: share } : { numRuns: Number(FUZZ_RUNS ?? 2000) }),
    ...(FUZZ_SEED && { seed: Number(FUZZ_SEED) }),
  };
}

jest.setTimeout(60_000 + 1000 * Number(FUZZ_SECONDS ?? 0));

type ErrorClass = abstract new (...args: never[]) => Error;

function expectOnly(allowed: ErrorClass | undefined, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (allowed === undefined || !(error instanceof allowed)) throw error;
  }
}

const TOKEN = /"[^"]*"|\d+|true|false|null|[[{][^[\]{}]*[\]}]|[a-z]+/g;
const TOKENS = [
  '0',
  '-1',
  '9',
  '99',
  '256',
  '4294967296',
  '1.5',
  '""',
  '"x"',
  'null',
  'true',
  '[]',
  '{}',
  '{"a":1}',
  '["a"]',
  'x',
];

/** Any JSON value, as a lease may have it. */
function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A value is replaced by another one, or any part by any text. */
function broken(good: readonly string[]): fc.Arbitrary<string> {
  const insertion = fc.oneof(
    fc.string(),
    fc.constantFrom('', '"', '{', '}', ',', '=', '/', '\n', '\0', '0', '9', '1e999', '__proto__', '\uD800'),
  );
  const anywhere = fc
    .tuple(fc.constantFrom(...good), fc.nat(), fc.nat({ max: 12 }), insertion)
    .map(([text, at, length, more]) => {
      const start = at % (text.length + 1);
      return text.slice(0, start) + more + text.slice(start + length);
    });
  const token = fc.tuple(fc.constantFrom(...good), fc.nat(), fc.constantFrom(...TOKENS)).map(([text, at, other]) => {
    const found = [...text.matchAll(TOKEN)];
    const { index, 0: old } = found[at % found.length]!;
    return text.slice(0, index) + other + text.slice(index + old.length);
  });
  return fc.oneof(anywhere, token);
}

const LISTING = JSON.stringify({
  nftables: [
    { metainfo: { version: '1.0.9' } },
    { table: { family: 'ip', name: 'filter', handle: 1 } },
    {
      chain: {
        family: 'ip',
        table: 'filter',
        name: 'FORWARD',
        handle: 1,
        type: 'filter',
        hook: 'forward',
        prio: 0,
        policy: 'drop',
      },
    },
    {
      rule: {
        family: 'ip',
        table: 'filter',
        chain: 'FORWARD',
        handle: 2,
        expr: [
          {
            match: {
              op: '==',
              left: { payload: { protocol: 'ip', field: 'saddr' } },
              right: { prefix: { addr: '10.5.0.0', len: 16 } },
            },
          },
          { counter: { packets: 0, bytes: 0 } },
          { accept: null },
        ],
      },
    },
  ],
});

const TEXTS: readonly (readonly [string, (text: string) => unknown, ErrorClass | undefined, readonly string[]])[] = [
  [
    'parseNetworkConfig()',
    parseNetworkConfig,
    FlannelError,
    [
      '{"Network":"10.5.0.0/16","SubnetLen":24,"SubnetMin":"10.5.1.0","Backend":{"Type":"udp","Port":8285,"Mode":"ipv4"}}',
      '{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd00::/48","Backend":{"Type":"vxlan","VNI":1,"MTU":1400}}',
      '{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","PSK":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}',
    ],
  ],
  [
    'checkNetworkConfig()',
    (text) => {
      const { config, faults } = checkNetworkConfig(text);
      // What the daemon reads, or why it does not.
      if (config === undefined) expect(faults.length).toBeGreaterThan(0);
      else expect(parseNetworkConfig(text)).toEqual(config);
    },
    undefined,
    [
      '{"Network":"10.5.0.0/16","SubnetLen":24,"SubnetMin":"10.5.1.0","Backend":{"Type":"udp","Port":8285,"Mode":"ipv4"}}',
      '{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fd00::/48","Backend":{"Type":"ipip","DirectRouting":1}}',
    ],
  ],
  [
    'parseLeaseKey()',
    (text) => {
      const subnets = parseLeaseKey(text);
      if (subnets !== undefined) expect(formatLeaseKey(subnets)).toBe(text);
    },
    undefined,
    ['10.5.52.0-24', '10.5.52.0-24&fc00:0:0:1::-64', '0.0.0.0-0&fc00:0:0:1::-64'],
  ],
  [
    'parseLeaseValue()',
    parseLeaseValue,
    FlannelError,
    [
      '{"PublicIP":"1.2.3.4","PublicIPv6":null}',
      '{"PublicIP":"1.2.3.4","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    ],
  ],
  [
    'parseVxlanData()',
    (text) => parseVxlanData(JSON.parse(`${JSON.stringify({ VNI: 1, VtepMAC: text })}`)),
    FlannelError,
    ['c6:d2:32:6f:8f:44'],
  ],
  [
    'parseWireguardData()',
    (text) => parseWireguardData(parsedOrText(text)),
    FlannelError,
    ['{"PublicKey":"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=","Port":51820}'],
  ],
  [
    'parseSubnetEnv()',
    parseSubnetEnv,
    FlannelError,
    [
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n',
      'FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00:0:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
    ],
  ],
  [
    'parseNetConf()',
    parseNetConf,
    FlannelError,
    [
      '{"cniVersion":"1.0.0","name":"cbr0","type":"flannel","delegate":{"hairpinMode":true},"ipam":{"type":"host-local"}}',
    ],
  ],
  ['readListing()', readListing, NftError, [LISTING]],
  ['readChains()', readChains, NftError, [LISTING]],
  [
    'readIptablesSave()',
    (text) => readIptablesSave('ip', text),
    undefined,
    [
      '*filter\n:FORWARD DROP [0:0]\n-A FORWARD -s 10.5.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT\nCOMMIT\n',
    ],
  ],
];

describe('of broken text', () => {
  test.each(TEXTS)('%s', (_, parse, allowed, good) => {
    for (const text of good) parse(text);
    fc.assert(
      fc.property(fc.oneof(broken(good), fc.string()), (text) => expectOnly(allowed, () => parse(text))),
      options(),
    );
  });
});

const payload = concatBytes([
  new Uint8Array(16),
  attributeU32(4, 1500),
  attributeString(3, 'eth0'),
  attributeNested(18, [attributeString(1, 'vxlan'), attributeNested(2, [attributeU32(1, 1)])]),
]);
const MESSAGE = encodeMessage({ type: 16, flags: 2, sequence: 1, portId: 0, payload } as never);

function brokenBytes(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const bytes = fc.uint8Array({ maxLength: 8 });
  return fc.tuple(fc.nat(), bytes, fc.nat({ max: 12 })).map(([at, more, length]) => {
    const start = at % (good.length + 1);
    return concatBytes([good.slice(0, start), more, good.slice(start + length)]);
  });
}

const BYTES: readonly (readonly [string, (bytes: Uint8Array) => unknown, Uint8Array])[] = [
  ['parseMessages()', (bytes) => parseMessages(bytes).map((message) => parseAcknowledgement(message)), MESSAGE],
  ['parseLink()', parseLink, payload],
  ['parseRoute()', parseRoute, payload],
  ['parseAddress()', parseAddress, payload],
  ['parseNeighbour()', parseNeighbour, payload],
];

describe('of broken messages of netlink', () => {
  test.each(BYTES)('%s', (_, parse, good) => {
    fc.assert(
      fc.property(fc.oneof(brokenBytes(good), fc.uint8Array({ maxLength: 64 })), (bytes) =>
        expectOnly(NetlinkError, () => parse(bytes)),
      ),
      options(),
    );
  });
});

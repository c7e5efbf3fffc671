/** Run on an emulated kernel: two nodes in namespaces on one bridge, with a WireGuard device each. `setup`, `move`, `many`, `kinds`. */
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { addIpip, addWireguard, hasLinkKind } from '@flannel-ts/rtnetlink/link-add';
import { getDevice, openWireguard, setDevice } from '@flannel-ts/wireguard/device';
import { generatePresharedKey, generatePrivateKey, publicKeyOf } from '@flannel-ts/wireguard/key';

const PORT = 51820;
const nodes = [1, 2].map((number) => ({ number, netns: `/run/netns/node${number}` }));

function setup(): void {
  const keys = nodes.map(generatePrivateKey);
  const presharedKey = generatePresharedKey();
  nodes.forEach(({ number, netns }, i) => {
    const other = 3 - number;
    const nl = openNetlink({ netns });
    const wireguard = openWireguard({ netns });
    const { index } = addWireguard(nl, { name: 'wg0', mtu: 1420 });
    setDevice(wireguard, index, {
      privateKey: keys[i]!,
      listenPort: PORT,
      replacePeers: true,
      peers: [
        {
          publicKey: publicKeyOf(keys[1 - i]!),
          presharedKey,
          endpoint: { address: parseIp(`10.64.0.1${other}`), port: PORT },
          keepalive: 25,
          replaceAllowedIps: true,
          allowedIps: [parsePrefix(`10.5.${other}.0/24`), parsePrefix(`fd00:5:0:${other}::/64`)],
        },
      ],
    });
    const device = getDevice(wireguard, index);
    const [peer] = device.peers;
    console.log(
      `node${number} keeps its key: ${device.privateKey === keys[i] && device.publicKey === publicKeyOf(keys[i]!)}`,
      `port ${device.listenPort}, keepalive ${peer?.keepalive}, ${peer?.allowedIps.length} allowed IPs,`,
      `preshared key: ${peer?.presharedKey === presharedKey}, seen: ${peer?.lastHandshake !== undefined}`,
    );
    // With a keepalive it calls its peer as soon as it is up.
    setLink(nl, index, { up: true });
    wireguard.close();
    nl.close();
  });
}

/** Node 2 is reached by IPv6 from now on; nothing but its endpoint is set. */
function move(): void {
  const [{ netns }] = nodes as [(typeof nodes)[0]];
  const nl = openNetlink({ netns });
  const wireguard = openWireguard({ netns });
  const { index } = getLink(nl, 'wg0')!;
  const before = getDevice(wireguard, index).peers[0]!;
  const endpoint = { address: parseIp('fd00:64::12'), port: PORT };
  setDevice(wireguard, index, { peers: [{ publicKey: before.publicKey, updateOnly: true, endpoint }] });
  const after = getDevice(wireguard, index).peers[0]!;
  console.log(
    `moved: ${after.endpoint?.address === endpoint.address}, same session: ${before.lastHandshake !== undefined && after.lastHandshake === before.lastHandshake}`,
  );
}

/** More than fit into one request, and into one answer. */
function many(): void {
  const [{ netns }] = nodes as [(typeof nodes)[0]];
  const nl = openNetlink({ netns });
  const wireguard = openWireguard({ netns });
  const { index } = addWireguard(nl, { name: 'wg1' });
  const peers = Array.from({ length: 500 }, (_, i) => ({
    publicKey: publicKeyOf(generatePrivateKey()),
    endpoint: { address: parseIp('10.64.0.99'), port: PORT },
    allowedIps: Array.from({ length: i === 0 ? 3000 : 1 }, (_, n) =>
      prefixFrom(parseIp(`10.${100 + Math.floor(i / 250)}.${i % 250}.0`, 4), 24 + (n % 9)),
    ).map((prefix, n) => (i === 0 ? parsePrefix(`fd00:${n.toString(16)}::/48`) : prefix)),
  }));
  setDevice(wireguard, index, { replacePeers: true, peers });
  const read = getDevice(wireguard, index).peers;
  const allowed = read.reduce((sum, { allowedIps }) => sum + allowedIps.length, 0);
  console.log(`${read.length} peers, ${allowed} allowed IPs`);
  setDevice(wireguard, index, { peers: [{ publicKey: peers[7]!.publicKey, remove: true }] });
  console.log(
    `${getDevice(wireguard, index).peers.some(({ publicKey }) => publicKey === peers[7]!.publicKey)} after removal`,
  );
}

function kinds(): void {
  const [{ netns }] = nodes as [(typeof nodes)[0]];
  const nl = openNetlink({ netns });
  console.log(
    ['ipip', 'wireguard', 'vxlan', 'no-such-kind'].map((kind) => `${kind}: ${hasLinkKind(nl, kind)}`).join(', '),
  );
  const local = parseIp('10.64.0.11');
  const link = addIpip(nl, { name: 'flannel.ipip', local, mtu: 1480, up: true, addressGeneration: 'none' });
  console.log(
    JSON.stringify(link.data, (_, value) => value ?? null),
    link.mac ?? 'no MAC',
    link.addressGeneration,
  );
  const answer = (() => {
    try {
      return getDevice(openWireguard({ netns }), link.index);
    } catch (error) {
      return isNetlinkError(error) ? error.message.replace(/\d+:/, 'N:') : error;
    }
  })();
  console.log(answer);
}

const commands: Record<string, () => void> = { setup, move, many, kinds };
commands[process.argv[2] ?? '']?.();

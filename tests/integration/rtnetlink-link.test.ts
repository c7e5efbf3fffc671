import { setTimeout as pause } from 'node:timers/promises';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { SystemError } from '@flannel-ts/linux/errors';
import { addAddress } from '@flannel-ts/rtnetlink/address';
import { openNetlink } from '@flannel-ts/rtnetlink/connection';
import { MissingLinkKindError, NetlinkError } from '@flannel-ts/rtnetlink/errors';
import {
  deleteLink,
  ensureLinkAbsent,
  getLink,
  listLinks,
  setBridgePort,
  setHairpin,
  setLink,
} from '@flannel-ts/rtnetlink/link';
import {
  addBridge,
  addDummy,
  addIpip,
  addVeth,
  addVxlan,
  addWireguard,
  ensureBridge,
  hasLinkKind,
} from '@flannel-ts/rtnetlink/link-add';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

interface IpLink {
  ifindex: number;
  ifname: string;
  mtu: number;
  flags: string[];
  address: string;
  operstate: string;
  txqlen: number;
  master?: string;
  link?: string;
  link_index?: number;
  link_netnsid?: number;
  gso_max_size: number;
  gso_max_segs: number;
  promiscuity: number;
  linkinfo?: { info_kind: string; info_data: Record<string, unknown>; info_slave_data: Record<string, unknown> };
}

describe('links', () => {
  let lab: Lab;
  let other: Lab;

  beforeEach(() => {
    lab = openLab('link');
    other = openLab('other');
  });

  afterEach(() => {
    lab.close();
    other.close();
  });

  const show = (name: string, from = lab): IpLink => from.ip<IpLink>('link', 'show', 'dev', name)[0]!;

  test('listLinks() sees what ip sees', () => {
    lab.run('ip', 'link', 'add', 'd0', 'mtu', '1300', 'type', 'bridge');
    lab.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    lab.run('ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    lab.run('ip', 'link', 'set', 'v0', 'master', 'br0', 'up');
    const ours = listLinks(lab.nl).map((link) => [link.index, link.name, link.kind, link.mtu, link.up, link.mac]);
    const theirs = lab
      .ip<IpLink>('link', 'show')
      .map((l) => [l.ifindex, l.ifname, l.linkinfo?.info_kind, l.mtu, l.flags.includes('UP'), l.address]);
    expect(ours).toEqual(theirs);
    expect(listLinks(lab.nl, { kind: 'bridge' }).map((link) => link.name)).toEqual(['d0', 'br0']);
    expect(listLinks(lab.nl, { master: getLink(lab.nl, 'br0')!.index }).map((link) => link.name)).toEqual(['v0']);
    expect(listLinks(lab.nl, { kind: 'no-such-kind' })).toEqual([]);
  });

  test('getLink() finds by name and by index, and nothing where there is nothing', () => {
    const { index } = addBridge(lab.nl, { name: 'd0' });
    expect(getLink(lab.nl, 'd0')).toEqual(getLink(lab.nl, index));
    expect(getLink(lab.nl, 'd0')).toMatchObject({ index, name: 'd0', kind: 'bridge' });
    expect(getLink(lab.nl, 'd1')).toBeUndefined();
    expect(getLink(lab.nl, 4711)).toBeUndefined();
    expect(getLink(lab.nl, 'fifteen-bytes-n')).toBeUndefined();
    expect(errorOf(() => getLink(lab.nl, 'sixteen-bytes-na')).message).toBe(
      'Cannot get link sixteen-bytes-na: link name "sixteen-bytes-na" is longer than 15 bytes (EINVAL)',
    );
  });

  test('addBridge() sets MTU, MAC, queue length and up in one request', () => {
    const mac = parseMac('02:00:00:00:00:07');
    const link = addBridge(lab.nl, { name: 'd0', mtu: 1350, mac, up: true, txQueueLength: 77 });
    expect(link).toMatchObject({ name: 'd0', mtu: 1350, mac, up: true, txQueueLength: 77, kind: 'bridge' });
    const seen = show('d0');
    expect(seen).toMatchObject({ ifindex: link.index, mtu: 1350, address: mac, txqlen: 77 });
    expect(seen.flags).toContain('UP');
  });

  test('addBridge() refuses a name that is taken, with EEXIST', () => {
    addBridge(lab.nl, { name: 'd0' });
    const error = errorOf(() => addBridge(lab.nl, { name: 'd0' }));
    expect(error).toBeInstanceOf(NetlinkError);
    expect(error).toMatchObject({ code: 'EEXIST', errno: 17, message: 'Cannot add bridge d0: File exists (EEXIST)' });
  });

  test('addBridge() passes on why the kernel refuses an MTU', () => {
    const error = errorOf(() => addBridge(lab.nl, { name: 'd0', mtu: 12 }));
    expect(error).toMatchObject({ code: 'EINVAL', extack: expect.stringContaining('mtu less than device minimum') });
  });

  test('addBridge() sets what ip -d shows of a bridge', () => {
    const link = addBridge(lab.nl, { name: 'cni0', mtu: 1472, stp: false, multicastSnooping: false });
    expect(link).toMatchObject({ kind: 'bridge', mtu: 1472, up: false });
    expect(link.data).toMatchObject({ kind: 'bridge', stp: false, multicastSnooping: false });
    const seen = show('cni0');
    expect(seen.linkinfo?.info_kind).toBe('bridge');
    expect(seen.linkinfo?.info_data).toMatchObject({ stp_state: 0, mcast_snooping: 0 });
  });

  test('ensureBridge() uses an existing bridge and refuses a device of another kind', () => {
    const first = ensureBridge(lab.nl, { name: 'cni0' });
    expect(ensureBridge(lab.nl, { name: 'cni0' }).index).toBe(first.index);
    addVeth(lab.nl, { name: 'v0', peer: { name: 'v1' } });
    expect(errorOf(() => ensureBridge(lab.nl, { name: 'v0' }))).toMatchObject({
      code: 'EEXIST',
      message: 'Cannot make bridge v0: a link of this name exists already and is veth (EEXIST)',
    });
  });

  test('addVeth() makes the peer in another namespace, by path', () => {
    const mac = parseMac('0a:58:0a:05:48:02');
    const near = addVeth(lab.nl, {
      name: 'veth0',
      mtu: 1400,
      up: true,
      peer: { name: 'eth0', mtu: 1400, mac, netns: other.netns },
    });
    const far = getLink(other.nl, 'eth0')!;
    expect(near).toMatchObject({ kind: 'veth', mtu: 1400, up: true, peerIndex: far.index });
    expect(near.peerNetnsId).toBeGreaterThanOrEqual(0);
    expect(far).toMatchObject({ kind: 'veth', mtu: 1400, up: false, mac, peerIndex: near.index });
    expect(show('eth0', other)).toMatchObject({ ifindex: far.index, address: mac, link_index: near.index, mtu: 1400 });
    expect(getLink(lab.nl, 'eth0')).toBeUndefined();
    setLink(other.nl, far.index, { up: true });
    expect(getLink(lab.nl, 'veth0')?.operState).toBe('up');
    expect(show('veth0').operstate).toBe('UP');
  });

  test('addVeth() reports a taken peer name with EEXIST and makes neither end', () => {
    addBridge(other.nl, { name: 'eth0' });
    const error = errorOf(() => addVeth(lab.nl, { name: 'veth0', peer: { name: 'eth0', netns: other.netns } }));
    expect(error).toMatchObject({ code: 'EEXIST', message: 'Cannot add veth veth0: File exists (EEXIST)' });
    expect(getLink(lab.nl, 'veth0')).toBeUndefined();
  });

  test('addVeth() names a namespace path that does not exist', () => {
    const error = errorOf(() => addVeth(lab.nl, { name: 'v0', peer: { name: 'v1', netns: '/run/netns/fltest-none' } }));
    expect(error).toBeInstanceOf(SystemError);
    expect(error).toMatchObject({ code: 'ENOENT', message: expect.stringContaining('/run/netns/fltest-none') });
  });

  test('addVxlan() sets what flannel sets', () => {
    const device = addBridge(lab.nl, { name: 'eth0', up: true });
    addAddress(lab.nl, { index: device.index, address: parseInterfaceAddress('10.64.0.16/24') });
    const local = parseIp('10.64.0.16');
    const spec = { name: 'flannel.1', vni: 1, device: device.index, local, port: 8472, mtu: 1450 };
    const link = addVxlan(lab.nl, spec);
    expect(link.data).toEqual({
      kind: 'vxlan',
      vni: 1,
      port: 8472,
      device: device.index,
      local,
      group: undefined,
      ttl: 0,
      inheritsTtl: false,
      tos: 0,
      df: 0,
      learning: false,
      proxy: false,
      rsc: false,
      l2Miss: false,
      l3Miss: false,
      external: false,
      udpChecksum: true,
      zeroChecksum6Sent: false,
      zeroChecksum6Accepted: false,
      gbp: false,
    });
    const info = show('flannel.1').linkinfo!;
    expect(info.info_kind).toBe('vxlan');
    expect(info.info_data).toMatchObject({ id: 1, link: 'eth0', local: '10.64.0.16', port: 8472, learning: false });
    const error = errorOf(() => addVxlan(lab.nl, { ...spec, name: 'flannel.2' }));
    expect(error).toMatchObject({
      code: 'EEXIST',
      message: 'Cannot add vxlan flannel.2: A VXLAN device with the specified VNI already exists (EEXIST)',
    });
  });

  test('addVxlan() sets learning, GBP and the checksum when asked to', () => {
    addVxlan(lab.nl, { name: 'vx', vni: 0xabcdef, port: 4789, learning: true, gbp: true, udpChecksum: false });
    expect(getLink(lab.nl, 'vx')?.data).toMatchObject({ vni: 0xabcdef, learning: true, gbp: true, udpChecksum: false });
    const data = show('vx').linkinfo!.info_data;
    expect(data).toMatchObject({ id: 0xabcdef, port: 4789, learning: true, udp_csum: false, gbp: true });
  });

  test('addVxlan() of an IPv6 underlay sets what becomes of UDP checksums', () => {
    const local = parseIp('fd00:64::16');
    const spec = {
      name: 'flannel-v6.1',
      vni: 1,
      port: 8472,
      local,
      zeroChecksum6Sent: true,
      zeroChecksum6Accepted: true,
    };
    expect(addVxlan(lab.nl, spec).data).toMatchObject({ local, zeroChecksum6Sent: true, zeroChecksum6Accepted: true });
    expect(show('flannel-v6.1').linkinfo!.info_data).toMatchObject({
      local6: 'fd00:64::16',
      udp_zero_csum6_tx: true,
      udp_zero_csum6_rx: true,
    });
  });

  test('a link of addressGeneration none comes up without a link-local address', async () => {
    const mac = parseMac('02:00:00:00:00:09');
    const link = addVxlan(lab.nl, { name: 'flannel.1', vni: 1, port: 8472, mac, up: true, addressGeneration: 'none' });
    expect(link).toMatchObject({ up: true, addressGeneration: 'none' });
    const witness = addVxlan(lab.nl, { name: 'witness', vni: 2, port: 8472, up: true });
    expect(witness.addressGeneration).toBe('eui64');
    const addresses = (name: string) => lab.ip('-6', 'address', 'show', 'dev', name);
    for (const end = Date.now() + 5000; addresses('witness').length === 0 && Date.now() < end; ) await pause(20);
    expect(addresses('witness')).toHaveLength(1);
    expect(addresses('flannel.1')).toEqual([]);
    setLink(lab.nl, witness.index, { addressGeneration: 'random' });
    expect(getLink(lab.nl, 'witness')?.addressGeneration).toBe('random');
  });

  test('addressGeneration is ignored where there is no IPv6', () => {
    // The kernel gives IPv6 to no link with an MTU below 1280.
    const link = addBridge(lab.nl, { name: 'd0', mtu: 1200, up: true, addressGeneration: 'none' });
    expect(link).toMatchObject({ mtu: 1200, up: true, addressGeneration: undefined });
  });

  test.each([
    ['ipip', () => addIpip(lab.nl, { name: 'd0', local: parseIp('10.64.0.16'), mtu: 1480 })],
    ['wireguard', () => addWireguard(lab.nl, { name: 'd0', mtu: 1420 })],
    ['dummy', () => addDummy(lab.nl, { name: 'd0', mtu: 1300 })],
  ])('%s links are made, or said to be missing in this kernel', (kind, add) => {
    let answer: string;
    try {
      answer = add().kind ?? '';
      expect(show('d0')).toMatchObject({ linkinfo: { info_kind: kind } });
    } catch (error) {
      expect(error).toBeInstanceOf(MissingLinkKindError);
      expect(error).toMatchObject({ kind, code: 'EOPNOTSUPP' });
      answer = (error as Error).message;
    }
    const missing = `Cannot add ${kind} d0: this kernel has no ${kind} links, and no module ${kind} at hand: load it (modprobe ${kind}), or use a kernel that has it (EOPNOTSUPP)`;
    expect(answer).toBe(hasLinkKind(lab.nl, kind) ? kind : missing);
  });

  test('hasLinkKind() makes no link', () => {
    const before = listLinks(lab.nl);
    for (const kind of ['bridge', 'vxlan', 'veth']) expect(hasLinkKind(lab.nl, kind)).toBe(true);
    expect(hasLinkKind(lab.nl, 'no-such-kind')).toBe(false);
    expect(listLinks(lab.nl)).toEqual(before);
  });

  test('setLink() changes everything it can in one request', () => {
    const { index } = addBridge(lab.nl, { name: 'd0' });
    const mac = parseMac('02:00:00:00:00:09');
    setLink(lab.nl, index, { up: true, mtu: 1280, txQueueLength: 500, mac, promiscuous: true });
    setLink(lab.nl, index, { gsoMaxSize: 32768, gsoMaxSegments: 16 });
    const seen = show('d0');
    expect(seen).toMatchObject({ mtu: 1280, txqlen: 500, address: mac, promiscuity: 1 });
    expect(seen).toMatchObject({ gso_max_size: 32768, gso_max_segs: 16 });
    expect(seen.flags).toContain('UP');
    expect(getLink(lab.nl, index)).toMatchObject({
      mtu: 1280,
      txQueueLength: 500,
      mac,
      gsoMaxSize: 32768,
      gsoMaxSegments: 16,
    });
    expect(errorOf(() => setLink(lab.nl, index, { mtu: 10 }))).toMatchObject({
      code: 'EINVAL',
      message: `Cannot change link ${index} (mtu 10): mtu less than device minimum (EINVAL)`,
    });
    setLink(lab.nl, index, { up: false });
    expect(show('d0').flags).not.toContain('UP');
    expect(show('d0').mtu).toBe(1280);
  });

  test('setLink() renames', () => {
    const { index } = addBridge(lab.nl, { name: 'd0' });
    setLink(lab.nl, index, { name: 'd1' });
    expect(show('d1').ifindex).toBe(index);
    addBridge(lab.nl, { name: 'd2' });
    expect(errorOf(() => setLink(lab.nl, index, { name: 'd2' }))).toMatchObject({ code: 'EEXIST' });
    expect(errorOf(() => setLink(lab.nl, index, { name: 'a/b' })).message).toBe(
      `Cannot change link ${index} (name a/b): link name "a/b" contains one of / : % or white space (EINVAL)`,
    );
  });

  test('setLink() moves a link to another namespace, under a new name', () => {
    const { index } = addVeth(lab.nl, { name: 'v0', peer: { name: 'v1' } });
    setLink(lab.nl, index, { netns: other.netns, name: 'moved' });
    expect(getLink(lab.nl, 'v0')).toBeUndefined();
    expect(show('moved', other).linkinfo?.info_kind).toBe('veth');
    const bridge = addBridge(lab.nl, { name: 'br0' });
    expect(errorOf(() => setLink(lab.nl, bridge.index, { netns: other.netns }))).toMatchObject({
      code: 'EINVAL',
      extack: expect.stringContaining('netns is immutable'),
    });
  });

  test('setLink() reports a link that does not exist with ENODEV', () => {
    expect(errorOf(() => setLink(lab.nl, 4711, { up: true })).message).toBe(
      'Cannot change link 4711 (up true): No such device (ENODEV)',
    );
  });

  test('setLink() attaches to a bridge and detaches again', () => {
    const bridge = addBridge(lab.nl, { name: 'cni0', up: true });
    const veth = addVeth(lab.nl, { name: 'v0', peer: { name: 'v1' } });
    setLink(lab.nl, veth.index, { master: bridge.index });
    expect(show('v0').master).toBe('cni0');
    expect(getLink(lab.nl, 'v0')?.master).toBe(bridge.index);
    setLink(lab.nl, veth.index, { master: 0 });
    expect(show('v0').master).toBeUndefined();
    expect(getLink(lab.nl, 'v0')?.master).toBeUndefined();
  });

  test('setHairpin() and setBridgePort() change the port as ip -d shows it', () => {
    const bridge = addBridge(lab.nl, { name: 'cni0', up: true });
    const veth = addVeth(lab.nl, { name: 'v0', master: bridge.index, peer: { name: 'v1' } });
    const port = (): Record<string, unknown> => show('v0').linkinfo!.info_slave_data;
    expect(port()).toMatchObject({ hairpin: false, isolated: false, learning: true });
    setHairpin(lab.nl, veth.index, true);
    expect(port()).toMatchObject({ hairpin: true, isolated: false });
    setBridgePort(lab.nl, veth.index, { hairpin: false, isolated: true, learning: false });
    expect(port()).toMatchObject({ hairpin: false, isolated: true, learning: false });
    expect(getLink(lab.nl, 'v0')?.port).toMatchObject({ hairpin: false, isolated: true, learning: false });
    setLink(lab.nl, veth.index, { master: 0 });
    expect(errorOf(() => setHairpin(lab.nl, veth.index, true)).message).toBe(
      `Cannot change bridge port ${veth.index} (hairpin true): Operation not supported (EOPNOTSUPP)`,
    );
  });

  test('getLink() reads a TUN device, and setLink() configures it', () => {
    lab.run('ip', 'tuntap', 'add', 'flannel0', 'mode', 'tun', 'multi_queue', 'vnet_hdr');
    const link = getLink(lab.nl, 'flannel0')!;
    expect(link).toMatchObject({ kind: 'tun', mac: undefined });
    expect(link.data).toMatchObject({ kind: 'tun', tunKind: 'tun', persist: true, multiQueue: true, vnetHeader: true });
    setLink(lab.nl, link.index, { up: true, mtu: 1472, txQueueLength: 1000 });
    expect(show('flannel0')).toMatchObject({ mtu: 1472, txqlen: 1000, flags: expect.arrayContaining(['UP']) });
  });

  test('deleteLink() deletes both ends of a veth pair, and ensureLinkAbsent() does not mind', () => {
    const veth = addVeth(lab.nl, { name: 'v0', peer: { name: 'v1', netns: other.netns } });
    deleteLink(lab.nl, veth.index);
    expect(lab.ip('link', 'show')).toHaveLength(1);
    expect(getLink(other.nl, 'v1')).toBeUndefined();
    expect(errorOf(() => deleteLink(lab.nl, veth.index)).message).toBe(
      `Cannot delete link ${veth.index}: No such device (ENODEV)`,
    );
    expect(ensureLinkAbsent(lab.nl, 'v0')).toBe(false);
    addBridge(lab.nl, { name: 'd0' });
    expect(ensureLinkAbsent(lab.nl, 'd0')).toBe(true);
  });

  test('deleteLink() says why the loopback device cannot be deleted', () => {
    expect(errorOf(() => deleteLink(lab.nl, 1))).toMatchObject({ code: 'EOPNOTSUPP' });
  });

  test('a dump of 120 links comes whole, in several datagrams', () => {
    for (let i = 0; i < 120; i++) addBridge(lab.nl, { name: `d${i}` });
    const names = new Set(listLinks(lab.nl).map((link) => link.name));
    expect(names.size).toBe(121);
    expect(names.size).toBe(lab.ip('link', 'show').length);
  });

  test('a closed connection refuses by name and not by descriptor number', () => {
    const nl = openNetlink({ netns: lab.netns });
    nl.close();
    nl.close();
    expect(errorOf(() => listLinks(nl)).message).toBe('Cannot list links: the netlink connection is closed (EBADF)');
  });
});

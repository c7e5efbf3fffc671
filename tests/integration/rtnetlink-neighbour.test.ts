import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { NTF_MASTER, NUD_NOARP, NUD_PERMANENT } from '@flannel-ts/rtnetlink/constants';
import { deleteFdb, ensureFdbAbsent, listFdb, replaceFdb } from '@flannel-ts/rtnetlink/fdb';
import { addBridge, addVeth, addVxlan } from '@flannel-ts/rtnetlink/link-add';
import {
  deleteNeighbour,
  ensureNeighbourAbsent,
  listNeighbours,
  replaceNeighbour,
} from '@flannel-ts/rtnetlink/neighbour';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

const mac = parseMac('0a:58:0a:05:34:00');
const otherMac = parseMac('0a:58:0a:05:34:01');

describe('neighbours', () => {
  let lab: Lab;
  let index: number;

  beforeEach(() => {
    lab = openLab('neigh');
    index = addBridge(lab.nl, { name: 'br0', up: true }).index;
  });

  afterEach(() => lab.close());

  const shown = (family = '-4'): Record<string, unknown>[] =>
    lab.ip(family, 'neighbour', 'show', 'dev', 'br0', 'nud', 'permanent');

  test('replaceNeighbour() adds a permanent entry and changes its MAC', () => {
    const address = parseIp('10.5.52.0');
    replaceNeighbour(lab.nl, { index, address, mac });
    expect(shown()).toMatchObject([{ dst: '10.5.52.0', lladdr: mac, state: ['PERMANENT'] }]);
    replaceNeighbour(lab.nl, { index, address, mac: otherMac });
    expect(shown()).toMatchObject([{ dst: '10.5.52.0', lladdr: otherMac }]);
    expect(listNeighbours(lab.nl, { index }).filter((n) => n.state === NUD_PERMANENT)).toEqual([
      { family: 4, index, address, mac: otherMac, state: NUD_PERMANENT, flags: 0 },
    ]);
  });

  test('replaceNeighbour() changes the state', () => {
    replaceNeighbour(lab.nl, { index, address: parseIp('10.5.52.0'), mac, state: NUD_NOARP });
    // The kernel keeps entries of its own in that state, for multicast groups.
    expect(lab.ip('neighbour', 'show', 'to', '10.5.52.0', 'dev', 'br0', 'nud', 'noarp')).toMatchObject([
      { state: ['NOARP'] },
    ]);
  });

  test('listNeighbours() filters by link', () => {
    const other = addBridge(lab.nl, { name: 'br1', up: true }).index;
    replaceNeighbour(lab.nl, { index, address: parseIp('10.5.52.0'), mac });
    replaceNeighbour(lab.nl, { index: other, address: parseIp('10.5.53.0'), mac });
    expect(listNeighbours(lab.nl).map((n) => n.index)).toEqual(expect.arrayContaining([index, other]));
    const found = listNeighbours(lab.nl, { family: 4, index: other }).map((n) => n.address);
    // The kernel makes entries of its own for the multicast groups it joins, some time after the link came up.
    expect(found.filter((address) => address < parseIp('224.0.0.0'))).toEqual([parseIp('10.5.53.0')]);
    expect(listNeighbours(lab.nl, { index: 4711 })).toEqual([]);
  });

  test('deleteNeighbour() deletes, and reports what is missing by ENOENT or ENODEV', () => {
    const address = parseIp('10.5.52.0');
    replaceNeighbour(lab.nl, { index, address, mac });
    deleteNeighbour(lab.nl, { index, address });
    expect(shown()).toEqual([]);
    expect(ensureNeighbourAbsent(lab.nl, { index, address: parseIp('10.5.99.0') })).toBe(false);
    expect(errorOf(() => deleteNeighbour(lab.nl, { index, address: parseIp('10.5.99.0') })).message).toBe(
      `Cannot delete neighbour 10.5.99.0 on link ${index}: No such file or directory (ENOENT)`,
    );
    expect(errorOf(() => replaceNeighbour(lab.nl, { index: 4711, address, mac }))).toMatchObject({
      code: 'ENODEV',
      message: 'Cannot replace neighbour 10.5.52.0 on link 4711: No such device (ENODEV)',
    });
    expect(ensureNeighbourAbsent(lab.nl, { index: 4711, address })).toBe(false);
  });

  test('IPv6 neighbours come and go', () => {
    const address = parseIp('fd00:10:5::');
    replaceNeighbour(lab.nl, { index, address, mac });
    expect(shown('-6')).toMatchObject([{ dst: 'fd00:10:5::', lladdr: mac }]);
    expect(listNeighbours(lab.nl, { index, family: 6 })).toContainEqual(
      expect.objectContaining({ family: 6, address, mac, state: NUD_PERMANENT }),
    );
    expect(ensureNeighbourAbsent(lab.nl, { index, address })).toBe(true);
    expect(shown('-6')).toEqual([]);
  });
});

describe('FDB entries', () => {
  let lab: Lab;

  beforeEach(() => {
    lab = openLab('fdb');
  });

  afterEach(() => lab.close());

  test('replaceFdb() points a MAC of a VXLAN device at a peer, as bridge fdb shows', () => {
    const { index } = addVxlan(lab.nl, { name: 'flannel.1', vni: 1, port: 8472, up: true });
    replaceFdb(lab.nl, { index, mac, dst: parseIp('10.64.0.17') });
    const shown = () => lab.bridge('fdb', 'show', 'dev', 'flannel.1');
    expect(shown()).toMatchObject([{ mac, dst: '10.64.0.17', flags: ['self'], state: 'permanent' }]);
    replaceFdb(lab.nl, { index, mac, dst: parseIp('10.64.0.18') });
    expect(shown()).toMatchObject([{ mac, dst: '10.64.0.18' }]);
    expect(listFdb(lab.nl, { index })).toMatchObject([
      { index, mac, dst: parseIp('10.64.0.18'), state: NUD_PERMANENT },
    ]);
    deleteFdb(lab.nl, { index, mac, dst: parseIp('10.64.0.18') });
    expect(shown()).toEqual([]);
    expect(ensureFdbAbsent(lab.nl, { index, mac })).toBe(false);
    expect(errorOf(() => deleteFdb(lab.nl, { index, mac }))).toMatchObject({
      code: 'ENOENT',
      message: `Cannot delete FDB entry ${mac} on link ${index}: No such file or directory (ENOENT)`,
    });
    expect(ensureFdbAbsent(lab.nl, { index: 4711, mac })).toBe(false);
  });

  test('replaceFdb() accepts IPv6 peers', () => {
    const local = parseIp('fd00:64::16');
    const { index } = addVxlan(lab.nl, { name: 'flannel-v6.1', vni: 1, port: 8472, local, up: true });
    replaceFdb(lab.nl, { index, mac, dst: parseIp('fd00:64::17') });
    expect(lab.bridge('fdb', 'show', 'dev', 'flannel-v6.1')).toMatchObject([{ mac, dst: 'fd00:64::17' }]);
    expect(listFdb(lab.nl, { index })).toMatchObject([{ mac, dst: parseIp('fd00:64::17') }]);
  });

  test('listFdb() sees the entries of bridge ports, and of one link only when asked', () => {
    const bridge = addBridge(lab.nl, { name: 'br0', up: true });
    const port = addVeth(lab.nl, { name: 'v0', up: true, master: bridge.index, peer: { name: 'v1' } });
    const { index: vxlan } = addVxlan(lab.nl, { name: 'flannel.1', vni: 1, port: 8472, up: true });
    replaceFdb(lab.nl, { index: vxlan, mac: otherMac, dst: parseIp('10.64.0.17') });
    replaceFdb(lab.nl, { index: port.index, mac, flags: NTF_MASTER });
    const ours = listFdb(lab.nl);
    expect(ours).toContainEqual(
      expect.objectContaining({ index: port.index, mac, master: bridge.index, dst: undefined }),
    );
    expect(ours).toContainEqual(expect.objectContaining({ index: vxlan, mac: otherMac }));
    expect(ours).toHaveLength(lab.bridge('fdb', 'show').length);
    expect(listFdb(lab.nl, { index: vxlan }).map((entry) => entry.mac)).toEqual([otherMac]);
    expect(ensureFdbAbsent(lab.nl, { index: port.index, mac, flags: NTF_MASTER })).toBe(true);
  });
});

import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { formatInterfaceAddress, parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import {
  addAddress,
  deleteAddress,
  ensureAddress,
  ensureAddressAbsent,
  listAddresses,
  replaceAddress,
} from '@flannel-ts/rtnetlink/address';
import { RT_SCOPE_LINK } from '@flannel-ts/rtnetlink/constants';
import { addBridge } from '@flannel-ts/rtnetlink/link-add';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

interface IpAddress {
  family: string;
  local: string;
  prefixlen: number;
  broadcast?: string;
  scope: string;
  label?: string;
  address?: string;
  noprefixroute?: boolean;
  nodad?: boolean;
  tentative?: boolean;
}

describe('addresses', () => {
  let lab: Lab;
  let index: number;

  beforeEach(() => {
    lab = openLab('address');
    index = addBridge(lab.nl, { name: 'br0', up: true }).index;
  });

  afterEach(() => lab.close());

  const shown = (family = 'inet'): IpAddress[] =>
    lab
      .ip<{ addr_info: IpAddress[] }>('address', 'show', 'dev', 'br0')
      .flatMap((link) => link.addr_info)
      .filter((address) => address.family === family && address.scope !== 'link');

  test('addAddress() adds what ip shows, with broadcast and label', () => {
    addAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.72.1/24'), broadcast: 'auto', label: 'br0:pods' });
    addAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.0.0/32'), broadcast: 'auto' });
    expect(shown()).toMatchObject([
      { local: '10.5.72.1', prefixlen: 24, broadcast: '10.5.72.255', scope: 'global', label: 'br0:pods' },
      { local: '10.5.0.0', prefixlen: 32, scope: 'global', label: 'br0' },
    ]);
    const ours = listAddresses(lab.nl, { index, family: 4 });
    expect(ours.map((a) => [formatInterfaceAddress(a.address), a.broadcast, a.label, a.scope])).toEqual([
      ['10.5.72.1/24', parseIp('10.5.72.255'), 'br0:pods', 0],
      ['10.5.0.0/32', undefined, 'br0', 0],
    ]);
    addAddress(lab.nl, { index, address: parseInterfaceAddress('169.254.1.1/32'), scope: RT_SCOPE_LINK });
    expect(listAddresses(lab.nl, { index }).find((a) => a.scope === RT_SCOPE_LINK)?.address.length).toBe(32);
    expect(shown()).toHaveLength(2);
  });

  test('addAddress() without a prefix route leaves the table empty', () => {
    addAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.72.1/24'), noPrefixRoute: true });
    expect(shown()).toMatchObject([{ noprefixroute: true }]);
    expect(lab.ip('route', 'show')).toEqual([]);
  });

  test('addAddress() sets the other end of a point-to-point link', () => {
    addAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.72.0/32'), peer: parseIp('10.5.72.9') });
    expect(shown()).toMatchObject([{ local: '10.5.72.0', address: '10.5.72.9' }]);
    expect(listAddresses(lab.nl, { index })[0]).toMatchObject({
      address: parseInterfaceAddress('10.5.72.0/32'),
      peer: parseIp('10.5.72.9'),
    });
    deleteAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.72.0/32'), peer: parseIp('10.5.72.9') });
    expect(shown()).toEqual([]);
  });

  test('addAddress() passes on the errors of the kernel', () => {
    const address = parseInterfaceAddress('10.5.72.1/24');
    addAddress(lab.nl, { index, address });
    expect(errorOf(() => addAddress(lab.nl, { index, address }))).toMatchObject({
      code: 'EEXIST',
      message: `Cannot add address 10.5.72.1/24 on link ${index}: ipv4: Address already assigned (EEXIST)`,
    });
    expect(errorOf(() => addAddress(lab.nl, { index: 4711, address }))).toMatchObject({
      code: 'ENODEV',
      message: 'Cannot add address 10.5.72.1/24 on link 4711: ipv4: Device not found (ENODEV)',
    });
    expect(
      errorOf(() => deleteAddress(lab.nl, { index, address: parseInterfaceAddress('10.5.72.2/24') })),
    ).toMatchObject({
      code: 'EADDRNOTAVAIL',
      message: expect.stringContaining(`Cannot delete address 10.5.72.2/24 on link ${index}: `),
    });
  });

  test('ensureAddress() and ensureAddressAbsent() return whether they changed something', () => {
    const address = parseInterfaceAddress('10.5.72.1/24');
    expect(ensureAddress(lab.nl, { index, address })).toBe(true);
    expect(ensureAddress(lab.nl, { index, address })).toBe(false);
    expect(shown()).toHaveLength(1);
    expect(ensureAddressAbsent(lab.nl, { index, address })).toBe(true);
    expect(ensureAddressAbsent(lab.nl, { index, address })).toBe(false);
    expect(ensureAddressAbsent(lab.nl, { index: 4711, address })).toBe(false);
    expect(shown()).toEqual([]);
  });

  test('replaceAddress() adds an address or keeps it', () => {
    const address = parseInterfaceAddress('10.5.72.1/24');
    replaceAddress(lab.nl, { index, address });
    replaceAddress(lab.nl, { index, address });
    expect(shown()).toHaveLength(1);
  });

  test('listAddresses() filters by link and sees what ip sees', () => {
    const other = addBridge(lab.nl, { name: 'br1' }).index;
    lab.run('ip', 'address', 'add', '10.1.0.1/24', 'dev', 'br0');
    lab.run('ip', 'address', 'add', '10.2.0.1/24', 'brd', '+', 'dev', 'br1');
    lab.run('ip', 'link', 'set', 'lo', 'up');
    const all = listAddresses(lab.nl, { family: 4 }).map((a) => [a.index, formatInterfaceAddress(a.address)]);
    expect(all).toEqual([
      [1, '127.0.0.1/8'],
      [index, '10.1.0.1/24'],
      [other, '10.2.0.1/24'],
    ]);
    const [only, ...rest] = listAddresses(lab.nl, { index: other });
    expect(rest).toEqual([]);
    expect(only?.broadcast !== undefined && formatIp(only.broadcast)).toBe('10.2.0.255');
    expect(listAddresses(lab.nl, { index: 4711 })).toEqual([]);
  });

  test('IPv6 addresses come and go, without duplicate address detection', () => {
    const address = parseInterfaceAddress('fd00:10:5::1/64');
    expect(ensureAddress(lab.nl, { index, address, noDad: true })).toBe(true);
    expect(ensureAddress(lab.nl, { index, address, noDad: true })).toBe(false);
    expect(shown('inet6')).toMatchObject([{ local: 'fd00:10:5::1', prefixlen: 64, nodad: true }]);
    const [ours] = listAddresses(lab.nl, { index, family: 6 }).filter((a) => a.scope === 0);
    expect(ours && formatInterfaceAddress(ours.address)).toBe('fd00:10:5::1/64');
    expect(ours).toMatchObject({ family: 6, tentative: false, duplicate: false });
    expect(ours?.address.address).toBe(parseIp('fd00:10:5::1'));
    expect(ensureAddressAbsent(lab.nl, { index, address })).toBe(true);
    expect(shown('inet6')).toEqual([]);
  });
});

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { endpointAddress, endpointLink, endpointMac } from './endpoint.ts';
import { findReservations, reserveAddress } from './reserve.ts';

test.each([
  ['10.5.1.0/24', '10.5.1.254', 'flh0a050100', '02:66:0a:05:01:00'],
  ['10.255.255.128/26', '10.255.255.190', 'flh0affff80', '02:66:0a:ff:ff:80'],
  ['fd00:5:0:7::/64', 'fd00:5:0:7:ffff:ffff:ffff:ffff', 'flh00000007', '02:66:00:00:00:07'],
])('the endpoint of %s has the address %s, the link %s and the MAC address %s', (text, address, link, mac) => {
  const subnet = parsePrefix(text);
  expect(formatIp(endpointAddress(subnet))).toBe(address);
  expect(endpointLink([subnet])).toBe(link);
  expect(endpointMac([subnet])).toBe(mac);
});

describe('reserveAddress()', () => {
  let directory: string;
  const file = (...names: string[]) => path.join(directory, ...names);
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'fltest-reserve-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('reserves in every store, as host-local writes it, and finds only its own again', () => {
    for (const name of ['cbr0', 'other']) mkdirSync(file(name));
    writeFileSync(file('cbr0', '10.5.1.7'), 'c1\r\neth0');
    writeFileSync(file('cbr0', 'last_reserved_ip.0'), '10.5.1.7');
    expect(reserveAddress(directory, '10.5.1.254')).toBe(true);
    expect(reserveAddress(directory, '10.5.1.254')).toBe(true);
    expect(readFileSync(file('other', '10.5.1.254'), 'utf8')).toBe('flanneld-health-endpoint\r\neth0');
    expect(findReservations(directory).sort()).toEqual([file('cbr0', '10.5.1.254'), file('other', '10.5.1.254')]);
  });

  test('says when a pod has the address, and is fine without any store', () => {
    expect(reserveAddress(file('missing'), '10.5.1.254')).toBe(true);
    expect(findReservations(file('missing'))).toEqual([]);
    mkdirSync(file('cbr0'));
    writeFileSync(file('cbr0', '10.5.1.254'), 'c1\r\neth0\n');
    expect(reserveAddress(directory, '10.5.1.254')).toBe(false);
  });
});

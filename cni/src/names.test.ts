import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import fc from 'fast-check';
import { addressOfHostMac, bridgeMac, hostInterfaceName, hostMac, podMac } from './names.ts';

describe('hostInterfaceName()', () => {
  test('fits IFNAMSIZ and depends on container and interface', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (id, ifName) => {
        expect(hostInterfaceName(id, ifName)).toMatch(/^veth[0-9a-f]{11}$/);
      }),
    );
    expect(hostInterfaceName('a', 'eth0')).not.toBe(hostInterfaceName('a', 'eth1'));
  });

  test('does not change from one release to the next: DEL must find what ADD made', () => {
    expect(hostInterfaceName('c1', 'eth0')).toMatchInlineSnapshot(`"veth8c7d3de7c9a"`);
  });

  test('does not collide over 100,000 containers', () => {
    const names = new Set(Array.from({ length: 100_000 }, (_, i) => hostInterfaceName(`container-${i}`, 'eth0')));
    expect(names.size).toBe(100_000);
  });
});

describe('MAC addresses', () => {
  const v4 = parseIp('10.244.1.5')!;
  const v6 = parseIp('fd00::1:203')!;

  test('hold the IPv4 address and differ between the ends', () => {
    expect(podMac('veth0', v4)).toBe('0a:58:0a:f4:01:05');
    expect(hostMac('veth0', v4)).toBe('0a:5a:0a:f4:01:05');
    expect(bridgeMac(parseIp('10.244.1.1')!)).toBe('0a:58:0a:f4:01:01');
  });

  test('follow from the name where there is no IPv4 address', () => {
    expect(podMac('veth0', v6)).toMatch(/^0a:59:/);
    expect(hostMac('veth0', undefined)).toMatch(/^0a:5b:/);
    expect(hostMac('veth0', v6)).not.toBe(hostMac('veth1', v6));
  });

  test('addressOfHostMac() reads back what hostMac() wrote', () => {
    expect(addressOfHostMac(hostMac('veth0', v4))).toEqual(v4);
    expect(addressOfHostMac(hostMac('veth0', v6))).toBeUndefined();
    expect(addressOfHostMac(parseMac('02:5a:0a:f4:01:05'))).toBeUndefined();
  });
});

import { formatLeaseValue, parseLeaseValue } from './lease.ts';
import { carriesIpv6, UDP_V6_DATA } from './udp-data.ts';

test('carriesIpv6() knows a lease of ours again, and no other', () => {
  const attributes = parseLeaseValue('{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1"}');
  expect(carriesIpv6(attributes)).toBe(false);
  const ours = formatLeaseValue({ ...attributes, backendV6Data: UDP_V6_DATA });
  expect(ours).toBe('{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1","BackendV6Data":{"Inner":"IPv6"}}');
  expect(carriesIpv6(parseLeaseValue(ours))).toBe(true);
  for (const backendV6Data of [null, 'IPv6', { VNI: 1 }, { Inner: true }]) {
    expect(carriesIpv6({ backendV6Data })).toBe(false);
  }
});

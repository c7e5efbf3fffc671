import { formatLeaseValue, parseLeaseValue } from './lease.ts';
import { carriesIpv6, outerFamilyOf, udpV6Data } from './udp-data.ts';

test('carriesIpv6() and outerFamilyOf() know a lease of ours again, and no other', () => {
  const attributes = parseLeaseValue('{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1"}');
  expect([carriesIpv6(attributes), outerFamilyOf(attributes)]).toEqual([false, 4]);
  for (const [mode, data] of [
    [4, '{"Inner":"IPv6"}'],
    [6, '{"Inner":"IPv6","Outer":"IPv6"}'],
  ] as const) {
    const ours = formatLeaseValue({ ...attributes, backendV6Data: udpV6Data(mode) });
    expect(ours).toBe(`{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1","BackendV6Data":${data}}`);
    expect([carriesIpv6(parseLeaseValue(ours)), outerFamilyOf(parseLeaseValue(ours))]).toEqual([true, mode]);
  }
  for (const backendV6Data of [null, 'IPv6', { VNI: 1 }, { Inner: true, Outer: 6 }]) {
    expect([carriesIpv6({ backendV6Data }), outerFamilyOf({ backendV6Data })]).toEqual([false, 4]);
  }
});

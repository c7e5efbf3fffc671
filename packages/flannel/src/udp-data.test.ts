import { formatLeaseValue, parseLeaseValue } from './lease.ts';
import { carriesIpv6, outerModeOf, udpV6Data } from './udp-data.ts';

test('carriesIpv6() and outerModeOf() know a lease of ours again, and no other', () => {
  const attributes = parseLeaseValue('{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1"}');
  expect([carriesIpv6(attributes), outerModeOf(attributes)]).toEqual([false, 'ipv4']);
  for (const [mode, data] of [
    ['ipv4', '{"Inner":"IPv6"}'],
    ['ipv6', '{"Inner":"IPv6","Outer":"IPv6"}'],
  ] as const) {
    const ours = formatLeaseValue({ ...attributes, backendV6Data: udpV6Data(mode) });
    expect(ours).toBe(`{"PublicIP":"10.0.0.1","PublicIPv6":"fd00::1","BackendV6Data":${data}}`);
    expect([carriesIpv6(parseLeaseValue(ours)), outerModeOf(parseLeaseValue(ours))]).toEqual([true, mode]);
  }
  for (const backendV6Data of [null, 'IPv6', { VNI: 1 }, { Inner: true, Outer: 6 }]) {
    expect([carriesIpv6({ backendV6Data }), outerModeOf({ backendV6Data })]).toEqual([false, 'ipv4']);
  }
});

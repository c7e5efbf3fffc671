import { parseIpv4 } from '@flannel-ts/inet/ipv4';
import { netnsName, parseNetnsName, portName } from './names.ts';

describe('parseNetnsName()', () => {
  test('reads what netnsName() wrote', () => {
    expect(parseNetnsName(netnsName('my-dev-1', 'pod-0-1'))).toEqual({ stack: 'my-dev-1', part: 'pod-0-1' });
  });

  test.each(['flannel', 'flannel.dev', 'other.dev.vpc', 'flannel.dev.vpc.new', 'flannel..vpc'])(
    'refuses %s',
    (name) => {
      expect(parseNetnsName(name)).toBeUndefined();
    },
  );
});

describe('portName()', () => {
  test('fits into the name of a link, for every address', () => {
    expect(portName(parseIpv4('10.64.0.16'))).toBe('p0a400010');
    expect(portName(parseIpv4('255.255.255.255'))).toHaveLength(9);
  });
});

import { parseIp } from '@flannel-ts/inet/ip';
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
    expect(portName(parseIp('10.64.0.16'))).toBe('p0a400010');
    expect(portName(parseIp('255.255.255.255'))).toHaveLength(9);
  });
});

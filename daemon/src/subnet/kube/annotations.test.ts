import type { LeaseAttributes } from '@flannel-ts/flannel/lease';
import { parseIp } from '@flannel-ts/inet/ip';
import fc from 'fast-check';
import {
  annotationNames,
  chosenAddresses,
  formatAnnotations,
  overwrites,
  parseAnnotations,
  writtenNames,
} from './annotations.ts';

const names = annotationNames('flannel.alpha.coreos.com');
const at = (name: string) => `flannel.alpha.coreos.com/${name}`;
const ip = parseIp('192.168.0.1', 4);
const ipv6 = parseIp('fd99::1', 6);
const vtep = (mac: string) => ({ VNI: 1, VtepMAC: mac });

test.each([
  ['a.b', 'a.b/backend-type'],
  ['a.b/', 'a.b/backend-type'],
  ['a.b/x', 'a.b/x-backend-type'],
  ['a.b/x-', 'a.b/x-backend-type'],
  ['10.0.0.1/x_y', '10.0.0.1/x_y-backend-type'],
])('annotationNames() of the prefix %s begin like %s', (prefix, name) => {
  expect(annotationNames(prefix).backendType).toBe(name);
});

test.each(['', 'a', 'a/b', 'a.b/c/d', 'A.b', 'a.b/X', 'a.b/c.d', 'a b.c'])(
  'annotationNames() refuses the prefix %j',
  (prefix) => {
    expect(() => annotationNames(prefix)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  },
);

// What flannel v0.28 writes for each backend (kube.go, AcquireLease).
test.each<[string, LeaseAttributes, Record<string, string>]>([
  [
    'vxlan',
    { publicIp: ip, backendType: 'vxlan', backendData: vtep('c6:d2:32:6f:8f:44') },
    {
      'backend-data': '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}',
      'backend-type': 'vxlan',
      'kube-subnet-manager': 'true',
      'public-ip': '192.168.0.1',
    },
  ],
  [
    'vxlan of both families',
    {
      publicIp: ip,
      publicIpv6: ipv6,
      backendType: 'vxlan',
      backendData: vtep('c6:d2:32:6f:8f:44'),
      backendV6Data: vtep('0a:d2:32:6f:8f:44'),
    },
    {
      'backend-data': '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}',
      'backend-type': 'vxlan',
      'backend-v6-data': '{"VNI":1,"VtepMAC":"0a:d2:32:6f:8f:44"}',
      'kube-subnet-manager': 'true',
      'public-ip': '192.168.0.1',
      'public-ipv6': 'fd99::1',
    },
  ],
  [
    'vxlan of IPv6 alone',
    { publicIpv6: ipv6, backendType: 'vxlan', backendV6Data: vtep('0a:d2:32:6f:8f:44') },
    {
      'backend-type': 'vxlan',
      'backend-v6-data': '{"VNI":1,"VtepMAC":"0a:d2:32:6f:8f:44"}',
      'kube-subnet-manager': 'true',
      'public-ipv6': 'fd99::1',
    },
  ],
  [
    'host-gw of both families',
    { publicIp: ip, publicIpv6: ipv6, backendType: 'host-gw' },
    {
      'backend-data': 'null',
      'backend-type': 'host-gw',
      'backend-v6-data': 'null',
      'kube-subnet-manager': 'true',
      'public-ip': '192.168.0.1',
      'public-ipv6': 'fd99::1',
    },
  ],
  [
    'wireguard',
    { publicIp: ip, backendType: 'wireguard', backendData: { PublicKey: 'a+b/c=', Port: 51820 } },
    {
      'backend-data': '{"PublicKey":"a+b/c=","Port":51820}',
      'backend-type': 'wireguard',
      'kube-subnet-manager': 'true',
      'public-ip': '192.168.0.1',
    },
  ],
  [
    'udp',
    { publicIp: ip, backendType: '' },
    { 'backend-data': 'null', 'backend-type': '', 'kube-subnet-manager': 'true', 'public-ip': '192.168.0.1' },
  ],
  [
    'ipip',
    { publicIp: ip, backendType: 'ipip' },
    { 'backend-data': 'null', 'backend-type': 'ipip', 'kube-subnet-manager': 'true', 'public-ip': '192.168.0.1' },
  ],
])(
  'formatAnnotations() writes those of %s as flannel does, and parseAnnotations() reads them',
  (_backend, attributes, expected) => {
    const written = formatAnnotations(attributes, names);
    expect(written).toEqual(Object.fromEntries(Object.entries(expected).map(([name, value]) => [at(name), value])));
    expect(parseAnnotations(written, names)).toEqual(attributes);
    expect(writtenNames(names)).toEqual(expect.arrayContaining(Object.keys(written)));
  },
);

test('parseAnnotations() passes over a node without flanneld, and says what it cannot read', () => {
  const udp = formatAnnotations({ publicIp: ip, backendType: '' }, names);
  expect(parseAnnotations({}, names)).toBeUndefined();
  expect(parseAnnotations({ ...udp, [at('kube-subnet-manager')]: 'false' }, names)).toBeUndefined();
  expect(() => parseAnnotations({ ...udp, [at('public-ip')]: 'x' }, names)).toThrow('public-ip is "x"');
  expect(() => parseAnnotations({ ...udp, [at('public-ip')]: '' }, names)).toThrow('public-ip is missing');
  expect(() => parseAnnotations({ ...udp, [at('backend-data')]: '{' }, names)).toThrow('backend-data is no JSON');
});

test('parseAnnotations() reads or refuses whatever stands there', () => {
  const entries = fc.dictionary(fc.constantFrom(...Object.values(names)), fc.string());
  fc.assert(
    fc.property(entries, (annotations) => {
      try {
        parseAnnotations({ ...annotations, [names.managed]: 'true' }, names);
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID_CONFIG' });
      }
    }),
  );
});

test("an operator's annotations are read", () => {
  const annotations = {
    [at('public-ip-overwrite')]: '198.51.100.1',
    [at('public-ipv6-overwrite')]: 'fd98::1',
    [at('node-public-ip')]: '192.0.2.1',
    [at('node-public-ipv6')]: '',
  };
  expect(overwrites(annotations, names)).toEqual({ publicIp: parseIp('198.51.100.1'), publicIpv6: parseIp('fd98::1') });
  expect(chosenAddresses(annotations, names)).toEqual({ publicIp: parseIp('192.0.2.1') });
});

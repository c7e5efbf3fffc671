import { parsePublication, parsePublications, publicationName } from './publications.ts';

test.each([
  ['8080:30080', { address: '127.0.0.1', port: 8080, protocol: 'tcp', target: { nodePort: 30080 } }],
  ['0.0.0.0:53:30053/udp', { address: '0.0.0.0', port: 53, protocol: 'udp', target: { nodePort: 30053 } }],
  ['80:web:8080', { port: 80, target: { namespace: 'default', service: 'web', port: 8080 } }],
  ['5353:kube-system/kube-dns:53/udp', { protocol: 'udp', target: { namespace: 'kube-system', service: 'kube-dns' } }],
])('parsePublication(%s)', (text, expected) => {
  expect(parsePublication(text)).toMatchObject(expected);
});

test.each([
  ['8080', 'use PORT:NODEPORT'],
  ['8080:', 'use PORT:NODEPORT'],
  ['8080:30080/sctp', 'use PORT:NODEPORT'],
  ['8080:Web:80', 'use PORT:NODEPORT'],
  ['::1:8080:80', 'use PORT:NODEPORT'],
  ['70000:80', '70000 is no port'],
  ['80:0', '0 is no port'],
  ['300.1.1.1:80:80', '300.1.1.1'],
])('parsePublication(%s) is refused', (text, reason) => {
  expect(() => parsePublication(text)).toThrow(reason);
});

test('parsePublications() lets one port lead to one place', () => {
  const texts = ['80:30080', '80:30080/udp', '127.0.0.2:80:30080'];
  expect(parsePublications(texts).map(publicationName)).toEqual([
    ...['tcp-127-0-0-1-80', 'udp-127-0-0-1-80', 'tcp-127-0-0-2-80'],
  ]);
  for (const other of ['80:web:80', '0.0.0.0:80:1']) {
    expect(() => parsePublications([...texts, other])).toThrow('80:30080 takes that port already');
  }
});

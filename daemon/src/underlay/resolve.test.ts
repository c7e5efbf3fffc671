import { parseIp } from '@flannel-ts/inet/ip';
import { resolveHosts } from './resolve.ts';

test('resolveHosts() has the addresses of URLs, each once, and passes over names that nobody knows', async () => {
  const urls = [
    'http://10.0.0.1:2379',
    'https://10.0.0.1:4001',
    '10.0.0.2:2379',
    'http://[fd00::1]:2379',
    'http://x.invalid:1',
    '',
  ];
  expect(await resolveHosts(urls)).toEqual(['10.0.0.1', '10.0.0.2', 'fd00::1'].map((text) => parseIp(text)));
  expect(await resolveHosts(['http://localhost:2379'])).toContain(parseIp('127.0.0.1'));
});

import { chainOf, removalOf } from './reference-masquerade.ts';

const chain = chainOf({ network: 'cbr0', containerId: 'c1' });

test('chainOf() is 28 characters of the hash of both names', () => {
  expect(chain).toMatch(/^CNI-[0-9a-f]{24}$/);
  expect(chainOf({ network: 'cbr', containerId: '0c1' })).toBe(chain);
  expect(chainOf({ network: 'cbr0', containerId: 'c2' })).not.toBe(chain);
});

test('removalOf() takes out the jumps as they were listed, then the chain, and nothing of others', () => {
  const jump = `POSTROUTING -s 10.244.1.2/32 -m comment --comment "name: \\"cbr0\\" id: \\"c1\\"" -j ${chain}`;
  const listed = [
    '-P POSTROUTING ACCEPT',
    `-N ${chain}`,
    '-N CNI-other',
    '-A POSTROUTING -s 10.244.1.3/32 -j CNI-other',
    `-A ${jump}`,
    `-A ${chain} -d 10.244.1.0/24 -j ACCEPT`,
  ].join('\n');
  expect(removalOf(chain, listed)).toBe(`*nat\n-D ${jump}\n-F ${chain}\n-X ${chain}\nCOMMIT\n`);
  expect(removalOf(chain, '-N CNI-other')).toBeUndefined();
});

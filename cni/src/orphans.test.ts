import type { Attachment } from './attachments.ts';
import { hostInterfaceName } from './names.ts';
import { orphansOf, type Surroundings, YOUNGEST_MS } from './orphans.ts';

describe('orphansOf()', () => {
  const attachment: Attachment = {
    ...{ containerId: 'c1', ifName: 'eth0', netns: '/run/netns/c1', inode: '7', host: '1', madeAt: 1000, config: {} },
  };
  const gone: Surroundings = { inodeAt: () => undefined, hasLink: () => false, host: '1', now: 1000 + YOUNGEST_MS };
  const count = (changes: Partial<Surroundings>): number => orphansOf([attachment], { ...gone, ...changes }).length;

  test('finds what has lost its namespace and its interface', () => {
    expect(count({})).toBe(1);
    expect(count({ inodeAt: () => '8' })).toBe(1); // another namespace has the name now
  });

  test.each<[string, Partial<Surroundings>]>([
    ['its namespace', { inodeAt: (path) => (path === '/run/netns/c1' ? '7' : undefined) }],
    ['its interface', { hasLink: (name) => name === hostInterfaceName('c1', 'eth0') }],
    ['youth', { now: 1000 + YOUNGEST_MS - 1 }],
    ['another host', { host: '2' }],
  ])('leaves what has %s', (_what, changes) => {
    expect(count(changes)).toBe(0);
  });
});

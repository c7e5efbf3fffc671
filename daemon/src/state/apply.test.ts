import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { applyChanges } from './apply.ts';
import { type Change, deviceOf, type KernelLink } from './change.ts';

const mac = parseMac('0a:58:0a:05:01:00');
const linkOf = (name: string): KernelLink => ({
  kind: 'ipip',
  name,
  mtu: 1480,
  addresses: [],
  local: parseIp('10.0.0.1'),
});
const changesOf = (link: string): Change[] => [
  { type: 'add-link', link: linkOf(link) },
  { type: 'add-address', link, address: parseInterfaceAddress('10.5.1.0/32') },
  { type: 'set-fdb', entry: { link, mac, remote: parseIp('10.0.0.2') } },
  { type: 'set-neighbour', entry: { link, address: parseIp('10.5.2.0'), mac } },
  { type: 'add-route', route: { type: 'unicast', dst: parsePrefix('10.5.2.0/24'), link } },
];

test('applyChanges() leaves out what needs a device that could not be made, and does all else', () => {
  const guard: Change = {
    type: 'add-route',
    route: { type: 'unreachable', dst: parsePrefix('10.5.0.0/16') },
  };
  const seen: Change[] = [];
  const kernel = {
    apply: (changes: readonly Change[]) => {
      seen.push(...changes);
      return changes.map((change) =>
        change.type === 'add-link' && deviceOf(change) === 'one' ? new Error('No one') : undefined,
      );
    },
  };
  const [one, two] = [changesOf('one'), changesOf('two')];
  const { done, failures } = applyChanges(kernel, [...one, guard, ...two]);
  expect(failures).toEqual(['No one']);
  expect(done).toEqual([guard, ...two]);
  expect(seen).toEqual([one[0], guard, ...two]);
});

test('applyChanges() goes on after other failures', () => {
  const kernel = {
    apply: (changes: readonly Change[]) =>
      changes.map(({ type }) => (type === 'add-address' ? new Error('No address') : undefined)),
  };
  const all = changesOf('one');
  const { done, failures } = applyChanges(kernel, all);
  expect(failures).toEqual(['No address']);
  expect(done).toEqual(all.filter(({ type }) => type !== 'add-address'));
});

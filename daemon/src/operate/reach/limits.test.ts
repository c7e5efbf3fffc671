import { parseIp } from '@flannel-ts/inet/ip';
import { PathLimits } from './limits.ts';

test('PathLimits reports the smallest limit of a peer once, a changed one, and its end', () => {
  const told: unknown[] = [];
  const limits = new PathLimits((peer, limit) => told.push([peer, limit]));
  const peer = parseIp('10.64.0.1');
  const reach = (...pathLimits: (number | undefined)[]) => pathLimits.map((pathLimit) => ({ peer, pathLimit }));
  const update = (...pathLimits: (number | undefined)[]) => {
    limits.update(reach(...pathLimits));
    return told.splice(0);
  };
  expect(update(undefined, undefined)).toEqual([]);
  expect(update(1300, undefined)).toEqual([[peer, 1300]]);
  expect(update(1300, 1280)).toEqual([[peer, 1280]]);
  expect(update(1300, 1280)).toEqual([]);
  expect(update(undefined, undefined)).toEqual([[peer, undefined]]);
  expect(update()).toEqual([]);
});

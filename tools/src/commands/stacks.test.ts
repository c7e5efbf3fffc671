import { formatStacks } from './stacks.ts';

test('formatStacks() lists them by name, and says how to get one', () => {
  const all = [
    { name: 'organization/flannel/mine', resourceCount: 27, lastUpdate: '2026-01-02T03:04:05.678Z' },
    { name: 'local' },
  ];
  expect(formatStacks(all, 80)).toBe(
    ['  STACK  RESOURCES  LAST CHANGE', '  local  ?          never', '  mine   27         2026-01-02T03:04:05Z'].join(
      '\n',
    ),
  );
  expect(formatStacks([], 80)).toBe('There are no stacks: "npm run up" creates one');
});

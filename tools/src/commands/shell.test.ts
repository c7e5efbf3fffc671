import { formatHosts } from './shell.ts';

test("formatHosts() puts the stack's names before the machine's own", () => {
  const addresses = [
    { name: 'node-0', address: '10.64.0.16' },
    { name: 'pod-0-0', address: '10.244.7.2' },
  ];
  expect(formatHosts('127.0.0.1 localhost\n', addresses)).toBe(
    '10.64.0.16 node-0\n10.244.7.2 pod-0-0\n127.0.0.1 localhost\n',
  );
});

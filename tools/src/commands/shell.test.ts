import { formatHosts, parseVariables } from './shell.ts';

test("formatHosts() puts the stack's names before the machine's own", () => {
  const addresses = [
    { name: 'node-0', address: '10.64.0.16' },
    { name: 'pod-0-0', address: '10.244.7.2' },
  ];
  expect(formatHosts('127.0.0.1 localhost\n', addresses)).toBe(
    '10.64.0.16 node-0\n10.244.7.2 pod-0-0\n127.0.0.1 localhost\n',
  );
});

test('parseVariables() reads what a node gives its flanneld', () => {
  expect(
    parseVariables('# of flanneld\nFLANNELD_IFACE=eth0\n\nFLANNELD_ETCD_ENDPOINTS=https://a:1,https://b:1?x=y\n'),
  ).toEqual({
    FLANNELD_IFACE: 'eth0',
    FLANNELD_ETCD_ENDPOINTS: 'https://a:1,https://b:1?x=y',
  });
});

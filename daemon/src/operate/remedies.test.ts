import { NETWORK_PARTS, reportJoinAnew } from '../network.ts';
import { REMEDIED_PARTS, remedyOf } from './remedies.ts';

const SAID = 'something is wrong';

test('each part has a remedy that names what is known', () => {
  expect([...REMEDIED_PARTS].sort()).toEqual([...NETWORK_PARTS].sort());
  const etcd = {
    member: 'https://10.0.0.1:2379',
    commandLine: 'etcdctl --endpoints https://10.0.0.1:2379 --cacert /ca',
  };
  expect(remedyOf('source', SAID, etcd)).toBe(
    'start etcd at https://10.0.0.1:2379, or let this node reach it: etcdctl --endpoints https://10.0.0.1:2379 --cacert /ca endpoint health',
  );
  expect(remedyOf('source', SAID, { source: 'kubernetes' })).toContain('kubectl');
  expect(remedyOf('underlay', SAID, {})).toContain('-iface');
  expect(remedyOf('underlay', SAID, { interface: 'eth0' })).toBe('ip link set eth0 up');
  expect(remedyOf('reach', SAID, { peer: '10.64.0.17', carriers: 'UDP port 8472' })).toBe(
    'open UDP port 8472 between the nodes, if they reach each other: ping -c 3 10.64.0.17',
  );
  expect(remedyOf('reach', SAID, { peer: '10.64.0.17', carriers: '' })).toContain(
    'let packets with addresses of pods pass',
  );
});

test('the command that the sentence has in quotes is the remedy, whatever the part', () => {
  const conflict =
    'the route of 10.5.2.0/24 is not ours but 10.5.2.0/24 dev eth1: remove it with "ip route delete 10.5.2.0/24 dev eth1"';
  expect(remedyOf('kernel', conflict, {})).toBe('ip route delete 10.5.2.0/24 dev eth1');
  expect(remedyOf('kernel', 'the device is "foreign"', {})).toBe('journalctl -u flanneld');
});

test('a part without a remedy of its own leads to the log', () => {
  expect(remedyOf('something new', SAID, {})).toBe('journalctl -u flanneld');
});

test('a node that joins anew is waited for, whatever the part', () => {
  const remedies = new Map<string, string | undefined>();
  reportJoinAnew({ report: (part, _, remedy) => remedies.set(part, remedy) });
  expect([...remedies.keys()]).toEqual([...NETWORK_PARTS]);
  expect(new Set(remedies.values())).toEqual(new Set(['flanneld status -wait']));
});

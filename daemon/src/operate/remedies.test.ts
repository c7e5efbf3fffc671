import { REMEDIED_PARTS, remedyOf } from './remedies.ts';

test('each part has a remedy that names what is known', () => {
  expect(REMEDIED_PARTS).toContain('reach');
  expect(remedyOf('source', { member: 'http://10.0.0.1:2379' })).toBe(
    'etcdctl --endpoints http://10.0.0.1:2379 endpoint health',
  );
  expect(remedyOf('source', { source: 'kubernetes' })).toContain('kubectl');
  expect(remedyOf('underlay', {})).toContain('-iface');
  expect(remedyOf('reach', { peer: '10.64.0.17' })).toBe('ping -c 3 10.64.0.17');
});

test('a part without a remedy of its own leads to the log', () => {
  expect(remedyOf('something new', {})).toBe('journalctl -u flanneld');
});

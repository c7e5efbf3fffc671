import { reportFlags } from './flag-report.ts';

test('every flag is shown with its value and where it comes from, but for secrets', () => {
  const { text, secrets } = reportFlags(['-ip-masq', '-iface', 'eth1', '-etcd-password', 'hunter2'], {
    FLANNELD_ETCD_PREFIX: '/other',
  });
  expect(text).toContain('-ip-masq=true (command line)\n');
  expect(text).toContain('-iface=eth1 (command line)\n');
  expect(text).toContain('-etcd-prefix=/other (environment)\n');
  expect(text).toContain('-subnet-file=/run/flannel/subnet.env (default)\n');
  expect(text).toContain('-etcd-password=[removed] (command line)\n');
  expect(text).not.toContain('hunter2');
  expect(secrets).toEqual(['hunter2']);
});

test('nothing is shown of a command line that cannot be read', () => {
  const { text } = reportFlags(['-etcd-password', 'hunter2', '-nonsense'], {});
  expect(text).toBe('The command line cannot be read: Unknown flag -nonsense: run flanneld --help for the list\n');
});

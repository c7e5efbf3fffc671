import { BpfError } from '@flannel-ts/bpf/errors';
import { explain, type Permissions } from './explain.ts';

const ALL: Permissions = {
  status: 'CapEff:\t000001ffffffffff\nSeccomp:\t0\n',
  userMap: '         0          0 4294967295\n',
  lockdown: '[none] integrity confidentiality\n',
};
const NET_ADMIN = 'CapEff:\t0000000000003000\nSeccomp:\t2\n';
const refused = new BpfError('NOT_PERMITTED', 'Cannot create a map');
const why = (permissions: Partial<Permissions>) => explain(refused, () => ({ ...ALL, ...permissions }));

test.each<readonly [string, Partial<Permissions>, string]>([
  ['a capability', { status: NET_ADMIN }, 'flanneld lacks CAP_BPF: AmbientCapabilities'],
  ['both capabilities', { status: 'CapEff:\t0000000000000000\n' }, 'flanneld lacks CAP_BPF and CAP_NET_ADMIN: '],
  ['nothing, with the capability that was it before', { status: 'CapEff:\t0000000000201000\n' }, 'a security module'],
  ['a user namespace', { userMap: '0 100000 65536\n' }, 'run it outside'],
  ['a filter of system calls', { status: 'CapEff:\t000001ffffffffff\nSeccomp:\t2\n' }, 'SystemCallFilter=bpf'],
  ['a kernel that is locked down', { lockdown: 'none [integrity] confidentiality\n' }, 'is locked down (integrity): '],
  ['a security module', {}, 'a security module (SELinux'],
])('explain() tells %s, and what to do', (_, permissions, remedy) => {
  expect(why(permissions)).toContain('Cannot create a map: ');
  expect(why(permissions)).toContain(remedy);
});

test.each([
  ['NO_BPFFS', 'mount -t bpf bpf /sys/fs/bpf'],
  ['NOT_SUPPORTED', 'Linux 5.13 or newer'],
  ['REJECTED', 'please report this'],
  ['FULL', 'the engine moves the packets'],
] as const)('explain() of %s says what to do', (code, remedy) => {
  expect(explain(new BpfError(code, 'No'))).toMatch(/^No: /);
  expect(explain(new BpfError(code, 'No'))).toContain(remedy);
});

test('explain() leaves other errors as they are', () => {
  expect(explain(new Error('There is no device flannel0'))).toBe('There is no device flannel0');
});

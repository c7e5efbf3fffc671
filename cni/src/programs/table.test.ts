import { programName } from './table.ts';

test.each([
  ['/opt/cni/bin/flannel', 'flannel'],
  ['/opt/cni/bin/host-local', 'host-local'],
  ['./portmap', 'portmap'],
  ['loopback', 'loopback'],
  ['/opt/cni/bin/flannel-1.2.3', 'flannel'],
  ['/usr/bin/node', 'flannel'],
  ['', 'flannel'],
  ['/opt/cni/bin/constructor', 'flannel'],
])('programName() reads %j as %s', (argv0, name) => {
  expect(programName(argv0)).toBe(name);
});

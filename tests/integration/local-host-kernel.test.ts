/** What the kernel cannot run is refused before anything is created: judged by whether `ip link add` can do it. */
import { spawnSync } from 'node:child_process';
import { parseBackendConfig } from '@flannel-ts/flannel/backend-config';
import { kernelProblem } from '../../infra/local/host/requirements.ts';

const canAdd = (...type: string[]) =>
  spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'fltest0', 'type', ...type]).status === 0;

test.each([
  [{ Type: 'vxlan' }, ['vxlan', 'id', '1', 'dstport', '8472']],
  [{ Type: 'ipip' }, ['ipip', 'remote', '10.0.0.1', 'local', '10.0.0.2']],
  [{ Type: 'wireguard' }, ['wireguard']],
])('kernelProblem() of %j is what the kernel says', (backend, type) => {
  const problem = kernelProblem(parseBackendConfig(backend));
  if (canAdd(...type)) expect(problem).toBeUndefined();
  else expect(problem).toMatch(/^This kernel has no \w+ devices, which the \w+ backend needs: load the module/);
});

test.each(['udp', 'host-gw'])('kernelProblem() has nothing to say about %s', (Type) => {
  expect(kernelProblem(parseBackendConfig({ Type }))).toBeUndefined();
});

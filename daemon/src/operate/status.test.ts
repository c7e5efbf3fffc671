import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { externalAt } from '../../testing/external.ts';
import type { ServingFacts } from './metrics.ts';
import type { Trouble } from './readiness.ts';
import { statusOf } from './status.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');

function status(backend: object, present: readonly Trouble[] = []) {
  const serving: ServingFacts = {
    config: parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', Backend: backend })),
    devices: [],
    external: externalAt(['192.0.2.1']),
    refused: [],
    reach: [],
    source: undefined,
    restorations: 0,
    reconcile: { passes: 0, failedPasses: 0, changes: 0 },
    lease: {
      subnet: parsePrefix('10.5.1.0/24', 4),
      attributes: { publicIp: parseIp('192.0.2.1', 4), backendType: '' },
    },
    leaseEnd: undefined,
    leases: 1,
  };
  const readiness = { ready: present.length === 0, present, details: [] };
  return statusOf({ version: '1', pid: 7, upSeconds: 1, readiness, source: undefined, serving, devices: [] });
}

describe('statusOf()', () => {
  test('has the network config with its defaults', () => {
    expect(status({ Type: 'vxlan' }).node).toMatchObject({
      backend: 'vxlan',
      networkConfig: { Network: '10.5.0.0/16', Backend: { Type: 'vxlan', VNI: 1, Port: 8472 } },
    });
  });

  test('has no key that nodes share', () => {
    const { node } = status({ Type: 'wireguard', PSK: KEY });
    expect(node).toMatchObject({ backend: 'wireguard', networkConfig: { Backend: { Type: 'wireguard' } } });
    expect(JSON.stringify(node)).not.toMatch(/PSK|BwcHBw/);
  });

  test('has of a silence that another part explains no remedy but to mend that part', () => {
    const silence = { part: 'reach', trouble: 'nobody answers', sinceMs: 5000 };
    const missing = { part: 'kernel', trouble: 'no device: "ip link delete foo"', sinceMs: 9000 };
    const remedies = (...present: Trouble[]) => status({ Type: 'vxlan' }, present).troubles.map(({ remedy }) => remedy);
    expect(remedies(missing, silence)).toEqual(['ip link delete foo', 'mend "kernel" first']);
    expect(remedies(silence)).toEqual([expect.stringContaining('open UDP port 8472 between the nodes')]);
  });
});

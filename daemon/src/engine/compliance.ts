import { describeIpv6 } from './compliance/ipv6.ts';
import { describeLife } from './compliance/life.ts';
import { describeTraffic } from './compliance/traffic.ts';
import { describeWire } from './compliance/wire.ts';
import type { StartEngine } from './engine.ts';
import type { LabOptions } from './testing/lab.ts';

/**
 * The tests that every engine passes, as root, over two namespaces joined by a veth. None proves anything by waiting: that
 * something does not happen is shown by a later packet that does arrive, since an engine keeps the order of a direction.
 */
export function describeEngine(name: string, start: StartEngine, options?: LabOptions): void {
  describe(name, () => {
    describeWire(start, options);
    if (options?.ipv6) describeIpv6(start, options);
    describeTraffic(start, options);
    describeLife(start, options);
  });
}

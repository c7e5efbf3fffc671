import type { StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import type { LabOptions } from '../lab.ts';
import { describeIpv6 } from './ipv6.ts';
import { describeLife } from './life.ts';
import { describeOrder } from './order.ts';
import { describePaths } from './paths.ts';
import { describeSources } from './sources.ts';
import { describeTraffic } from './traffic.ts';
import { describeWire } from './wire.ts';

/** For a machine that is busy with other things: each wait gives up by itself before that. */
const TIMEOUT_MS = 60_000;
const SOURCES = 4;

/**
 * The tests that every engine passes, as root, over two namespaces joined by a veth. None proves anything by waiting: that
 * something does not happen is shown by a later packet that does arrive, since an engine keeps the order of a direction.
 */
export function describeEngine(name: string, start: StartEngine, options?: LabOptions): void {
  jest.setTimeout(TIMEOUT_MS);
  describe(name, () => {
    describeWire(start, options);
    if (options?.ipv6) describeIpv6(start, options);
    describeTraffic(start, options);
    describeSources(start, options);
    describeOrder(start, options);
    describe('from several source ports', () => describeOrder(start, options, SOURCES));
    describePaths(start, options);
    describeLife(start, options);
  });
}

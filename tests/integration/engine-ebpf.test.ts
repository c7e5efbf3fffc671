import { describeIpv6 } from '../../daemon/testing/engine/compliance/ipv6.ts';
import { describeLife } from '../../daemon/testing/engine/compliance/life.ts';
import { describeOrder } from '../../daemon/testing/engine/compliance/order.ts';
import { describePaths } from '../../daemon/testing/engine/compliance/paths.ts';
import { describeTraffic } from '../../daemon/testing/engine/compliance/traffic.ts';
import { describeWire } from '../../daemon/testing/engine/compliance/wire.ts';
import { kernelEngine } from '../../daemon/testing/engine/kernel-engine.ts';

jest.setTimeout(60_000);

const options = { vnetHeader: true, ipv6: true, twoWays: true } as const;

describe('programs in the kernel beside the fast engine', () => {
  // The peer that tests play by hand never shows that it has programs.
  const start = kernelEngine({ leavesChecksums: false });
  describeWire(start, options);
  describeIpv6(start, options);
  describeTraffic(start, options);
  describeOrder(start, options);
  describePaths(kernelEngine({ leavesChecksums: true }), options);
  describeLife(start, options);
});

describe('programs that do not know who receives in user space', () => {
  describeTraffic(kernelEngine({ leavesChecksums: true }), options);
});

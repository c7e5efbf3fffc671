import { startFastEngine } from '../../daemon/src/datapath/tun/engine/fast/engine.ts';
import { describeEngine } from '../../daemon/testing/engine/compliance/suite.ts';

describeEngine('startFastEngine() with offloads', startFastEngine, { vnetHeader: true, ipv6: true });
describeEngine('startFastEngine() on a plain device', startFastEngine, { ipv6: true });
describeEngine(
  'startFastEngine() with its offloads turned off',
  (config, signal) => startFastEngine({ ...config, offload: false }, signal),
  { vnetHeader: true, ipv6: true },
);
describeEngine('startFastEngine() over IPv6', startFastEngine, { vnetHeader: true, ipv6: true, underlay: 6 });

import { startReferenceEngine } from '../../daemon/src/datapath/tun/engine/reference/engine.ts';
import { describeEngine } from '../../daemon/testing/engine/compliance/suite.ts';

describeEngine('startReferenceEngine()', startReferenceEngine, { ipv6: true });
describeEngine('startReferenceEngine() behind a virtio header', startReferenceEngine, { vnetHeader: true, ipv6: true });
describeEngine('startReferenceEngine() over IPv6', startReferenceEngine, { ipv6: true, underlay: 6 });

import { describeEngine } from '../../daemon/src/engine/compliance.ts';
import { startReferenceEngine } from '../../daemon/src/engine/reference/engine.ts';

describeEngine('startReferenceEngine()', startReferenceEngine, { ipv6: true });
describeEngine('startReferenceEngine() behind a virtio header', startReferenceEngine, { vnetHeader: true, ipv6: true });
describeEngine('startReferenceEngine() over IPv6', startReferenceEngine, { ipv6: true, underlay: 6 });

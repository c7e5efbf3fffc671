import { describeEngine } from '../../daemon/src/engine/compliance.ts';
import { startReferenceEngine } from '../../daemon/src/engine/reference/engine.ts';

describeEngine('startReferenceEngine()', startReferenceEngine, { ipv6: true });
describeEngine('startReferenceEngine() behind a virtio header', startReferenceEngine, { vnetHeader: true, ipv6: true });

import { describeEngine } from '../../daemon/src/engine/compliance.ts';
import { startReferenceEngine } from '../../daemon/src/engine/reference/engine.ts';

describeEngine('startReferenceEngine()', startReferenceEngine);
describeEngine('startReferenceEngine() behind a virtio header', startReferenceEngine, { vnetHeader: true });

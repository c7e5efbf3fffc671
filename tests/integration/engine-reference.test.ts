import { describeEngine } from '../../daemon/src/engine/compliance.ts';
import { startReferenceEngine } from '../../daemon/src/engine/reference/engine.ts';

describeEngine('startReferenceEngine()', startReferenceEngine);

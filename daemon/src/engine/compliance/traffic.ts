import type { StartEngine } from '../engine.ts';
export function describeTraffic(_start: StartEngine): void {}

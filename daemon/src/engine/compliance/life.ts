import type { StartEngine } from '../engine.ts';
export function describeLife(_start: StartEngine): void {}

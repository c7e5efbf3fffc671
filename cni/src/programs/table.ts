import { run } from '../plugin.ts';
import { bandwidth } from './bandwidth.ts';
import { bridge } from './bridge.ts';
import { hostLocal } from './host-local.ts';
import { loopback } from './loopback.ts';
import { portmap } from './portmap.ts';
import type { Program } from './program.ts';

/** The names under which this executable answers, by links to it: a node then needs no other package of plugins. */
export const PROGRAMS: Readonly<Record<string, Program>> = {
  flannel: run,
  bridge,
  'host-local': hostLocal,
  loopback,
  portmap,
  bandwidth,
};

/** By the last part of the path that it was started with; under a name of an operator's own it is flannel's plugin. */
export function programName(argv0: string): string {
  const name = argv0.slice(argv0.lastIndexOf('/') + 1);
  return Object.hasOwn(PROGRAMS, name) ? name : 'flannel';
}

/** What may come next on a command line. Pure, but for what it is given to look things up by. */
import { COMMANDS } from '../usage.mjs';

/**
 * @typedef {object} Found
 * @property {() => readonly string[]} stacks
 * @property {(stack: string) => readonly string[]} machines
 * @property {() => readonly string[]} settings
 */

const WORDS = { kubeconfig: ['merge', 'remove'], image: ['load'], setup: ['test', 'bench'] };
const BACKENDS = ['host-gw', 'ipip', 'udp', 'vxlan', 'wireguard'];

/**
 * Words that complete the last one of the line; those that contain "=" or ":" only from what bash takes for the word.
 * @param {string} line up to the cursor
 * @param {Found} found
 * @returns {string[]}
 */
export function completeLine(line, found) {
  const words = line.split(/\s+/);
  const last = words.at(-1) ?? '';
  const [, , name = '', ...rest] = words;
  const broken = last.slice(0, Math.max(last.lastIndexOf('='), last.lastIndexOf(':')) + 1);
  return candidates(name, rest, found)
    .filter((word) => word.startsWith(last))
    .map((word) => word.slice(broken.length))
    .sort();
}

/**
 * @param {string} name of the command, or what there is of it
 * @param {readonly string[]} rest the words after it; the last one is being written
 * @param {Found} found
 * @returns {readonly string[]}
 */
function candidates(name, rest, found) {
  if (rest.length === 0) return Object.keys(COMMANDS);
  const command = COMMANDS[name];
  if (command === undefined) return [];
  const dashes = rest.indexOf('--');
  if (dashes === -1 || dashes === rest.length - 1) return ['--']; // npm would keep what is before it
  const given = rest.slice(dashes + 1, -1);
  const flags = Object.entries(command.flags);
  const before = given.at(-1);
  const [flag, { value = undefined } = {}] =
    flags.find(([long, { short }]) => before !== undefined && [long, short].includes(before)) ?? [];
  if (flag !== undefined && value !== undefined) return valuesOf(flag, found);
  const plain = plainWords(given, flags);
  if (command.rest && plain.length > 0) return [];
  const own = plain.length === 0 ? wordsOf(name, stackIn(given), found) : [];
  return [...own, ...flags.map(([long]) => long).filter((long) => !given.includes(long) || REPEATED.includes(long))];
}

const REPEATED = ['--config', '--unset', '--publish'];

/**
 * @param {string} flag
 * @param {Found} found
 * @returns {readonly string[]}
 */
function valuesOf(flag, found) {
  if (flag === '--stack') return found.stacks();
  if (flag === '--backend') return BACKENDS;
  if (flag === '--unset') return found.settings();
  if (flag === '--config') return found.settings().map((key) => `${key}=`);
  return [];
}

/**
 * @param {string} name
 * @param {string} stack
 * @param {Found} found
 * @returns {readonly string[]}
 */
function wordsOf(name, stack, found) {
  if (name === 'shell' || name === 'logs' || name === 'status') return found.machines(stack);
  return WORDS[/** @type {keyof typeof WORDS} */ (name)] ?? [];
}

/**
 * Those that are neither flags nor their values.
 * @param {readonly string[]} given
 * @param {readonly (readonly [string, import('../options.mjs').Flag])[]} flags
 */
function plainWords(given, flags) {
  const takesValue = (/** @type {string | undefined} */ word) =>
    flags.some(([long, { short, value }]) => value !== undefined && (word === long || word === short));
  return given.filter((word, i) => !word.startsWith('-') && !takesValue(given[i - 1]));
}

/** @param {readonly string[]} given */
function stackIn(given) {
  const at = given.findIndex((word) => word === '-s' || word === '--stack');
  const joined = given.find((word) => word.startsWith('--stack='));
  return joined?.slice('--stack='.length) ?? (at === -1 ? undefined : given[at + 1]) ?? 'local';
}

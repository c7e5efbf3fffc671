import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { ToolError } from './errors.mjs';

const MIN_NODE_MAJOR = 20;

/**
 * What a machine must have that no set-up can give it. Each answer is one sentence, or undefined when all is well.
 * @typedef {() => string | undefined} Check
 */

/** @type {Check} */
export function checkNode() {
  const version = process.versions.node;
  return Number(version.split('.')[0]) >= MIN_NODE_MAJOR
    ? undefined
    : `Node.js ${MIN_NODE_MAJOR} or newer is needed, this is ${version}`;
}

/** @type {Check} */
export function checkPlatform() {
  return process.platform === 'linux'
    ? undefined
    : `Linux is needed, for network namespaces and TUN devices; this is ${process.platform}`;
}

/** @type {Check} */
export function checkRoot() {
  return process.getuid?.() === 0
    ? undefined
    : 'Root is needed, to make network namespaces and devices: run the same command as root';
}

/** @type {Check} */
export function checkTun() {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return undefined;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    const remedy =
      code === 'ENOENT'
        ? 'load the module with "modprobe tun", or in a container pass the device in (--device /dev/net/tun)'
        : 'this kernel or container does not allow TUN devices';
    return `Cannot open /dev/net/tun (${code}): ${remedy}`;
  }
}

/** @type {Check} */
export function checkNamespaces() {
  const { status, stderr, error } = spawnSync('unshare', ['--net', '--mount', '--propagation=unchanged', 'true'], {
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  const reason = error ? error.message : stderr.trim();
  return `Cannot make network namespaces (${reason}): in a container, run it with CAP_SYS_ADMIN and CAP_NET_ADMIN (--privileged)`;
}

/**
 * Runs the checks and reports every failure at once. The later ones need what the earlier ones ask for.
 * @param {readonly Check[]} checks
 */
export function assertChecks(checks) {
  const problems = checks.map((check) => check()).filter((problem) => problem !== undefined);
  if (problems.length > 0) throw new ToolError('MACHINE', problems.join('\n'));
}

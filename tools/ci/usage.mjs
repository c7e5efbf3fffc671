/** The commands of the CI kit and their flags. Plain JavaScript, as the other commands' usage. */
import { UsageError } from '../setup/errors.mjs';

/** @typedef {import('../options.mjs').CiOptions} CiOptions */
/** @typedef {import('../options.mjs').Command} Command */
/** @typedef {import('../options.mjs').Flag} Flag */
/** @typedef {import('../options.mjs').Options} Options */

/** @type {CiOptions} */
export const CI_DEFAULTS = {
  environment: 'local',
  ttlHours: 4,
  keepOnFailure: false,
  policies: true,
  destroy: false,
};

/** AWS keeps tags of any time; a CI environment that is wanted for longer is no CI environment. */
const MAX_TTL_HOURS = 168;

/**
 * @param {Options} options
 * @param {Partial<CiOptions>} change
 * @returns {Partial<Options>}
 */
function change(options, change) {
  return { ci: { ...CI_DEFAULTS, ...options.ci, ...change } };
}

/** @type {Flag} */
const report = {
  value: 'FILE',
  help: "write what was found there: JSON, or JUnit's XML if it ends in .xml",
  apply: (options, reportFile) => change(options, { reportFile }),
};

/**
 * @param {{stack: Flag, config: Flag, help: Flag}} shared
 * @returns {Readonly<Record<string, Command>>}
 */
export function ciCommands({ stack, config, help }) {
  return {
    ephemeral: {
      words: '[-- COMMAND...]',
      help: 'Creates a stack for one run, tests it (and runs COMMAND against it), and removes it, whatever happens',
      count: [0, Number.POSITIVE_INFINITY],
      flags: {
        '--environment': {
          value: 'NAME',
          help: 'local, or aws with the settings of stacks/Pulumi.ci.yaml (local)',
          apply: (options, name) => change(options, { environment: environmentOf(name) }),
        },
        '--branch': {
          value: 'NAME',
          help: "names the stack, with the commit (the CI system's, else git's)",
          apply: (options, branch) => change(options, { branch }),
        },
        '--commit': {
          value: 'SHA',
          help: "the commit that is tested (the CI system's, else git's)",
          apply: (options, commit) => change(options, { commit }),
        },
        '--config': config,
        '--ttl': {
          value: 'HOURS',
          help: `after how many hours the janitor may remove it (${CI_DEFAULTS.ttlHours})`,
          apply: (options, text) => change(options, { ttlHours: hoursOf(text) }),
        },
        '--keep-on-failure': {
          help: 'leave the stack to be looked at when a test fails; the janitor removes it',
          apply: (options) => change(options, { keepOnFailure: true }),
        },
        '--no-policies': {
          help: 'without the policies of infra/policy',
          apply: (options) => change(options, { policies: false }),
        },
        '--report': report,
        '--help': help,
      },
    },
    conformance: {
      words: '',
      help: 'Tests an existing stack: every node to every other, by ping, TCP, UDP, whole packets, many bytes',
      count: [0, 0],
      flags: {
        '--stack': stack,
        '--kubernetes': {
          help: "Kubernetes' own tests of networks, on the stack's cluster",
          apply: (options) => change(options, { kubernetes: true }),
        },
        '--kubeconfig': {
          value: 'FILE',
          help: 'the same on another cluster, which can fetch the images of these tests',
          apply: (options, kubeconfig) => change(options, { kubeconfig }),
        },
        '--focus': {
          value: 'REGEX',
          help: 'which of these tests (those of sig-network that are part of Conformance)',
          apply: (options, focus) => change(options, { focus }),
        },
        '--report': report,
        '--help': help,
      },
    },
    janitor: {
      words: '',
      help: 'Lists the stacks that "ephemeral" has left, and which of them are expired',
      count: [0, 0],
      flags: {
        '--destroy': {
          help: 'remove those that are expired',
          apply: (options) => change(options, { destroy: true }),
        },
        '--help': help,
      },
    },
  };
}

/**
 * @param {string} name
 * @returns {'local' | 'aws'}
 */
function environmentOf(name) {
  if (name === 'local' || name === 'aws') return name;
  throw new UsageError(`--environment "${name}" is none: use local or aws`);
}

/** @param {string} text */
function hoursOf(text) {
  const hours = Number(text);
  if (/^\d+$/.test(text) && hours >= 1 && hours <= MAX_TTL_HOURS) return hours;
  throw new UsageError(`--ttl "${text}" is no time: use a whole number of hours from 1 to ${MAX_TTL_HOURS}`);
}

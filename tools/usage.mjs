/** The commands and their flags. Plain JavaScript, so that wrong usage is told before anything is installed. */
import { ciCommands } from './ci/usage.mjs';
import { UsageError } from './setup/errors.mjs';

import { SUITES } from './suites.mjs';

/** @typedef {import('./options.mjs').Options} Options */
/** @typedef {import('./options.mjs').Flag} Flag */
/** @typedef {import('./options.mjs').Command} Command */

const STACK_NAME = /^[a-z][a-z0-9-]{0,29}$/; // it becomes part of namespace and directory names
const DEFAULT_STACK = 'local';

/** @type {Flag} */
const stack = {
  value: 'NAME',
  help: `the stack (${DEFAULT_STACK})`,
  short: '-s',
  apply: (_, name) => {
    if (STACK_NAME.test(name)) return { stack: name };
    throw new UsageError(
      `--stack "${name}" cannot name a stack: use up to 30 lower-case letters, digits and dashes, beginning with a letter`,
    );
  },
};
/** @type {Flag} */
const help = { help: 'show this help', short: '-h', apply: () => ({ help: true }) };
/** @type {Flag} */
const config = { value: 'KEY=VALUE', help: 'any other setting; again for more', apply: addSetting };
/** @type {Flag} */
const yes = { help: 'answer yes to every question', short: '-y', apply: () => ({ yes: true }) };
/** @type {Flag} */
const wait = {
  value: 'SECONDS',
  help: 'until all pods of the cluster are ready, not only its nodes',
  apply: (_, text) => ({ wait: count('--wait', text, 1) }),
};
/** @type {Flag} */
const verbose = { help: 'show all that Pulumi says', short: '-v', apply: () => ({ verbose: true }) };

/** @type {Readonly<Record<string, Command>>} */
export const COMMANDS = {
  up: {
    words: '',
    help: 'Creates or changes a stack, and shows which pods reach each other',
    count: [0, 0],
    flags: {
      '--stack': stack,
      '--nodes': { value: 'N', help: 'how many nodes', apply: (_, text) => ({ nodes: count('--nodes', text, 1) }) },
      '--pods': { value: 'N', help: 'how many pods on each', apply: (_, text) => ({ pods: count('--pods', text, 0) }) },
      '--backend': {
        value: 'TYPE',
        help: "how pods' packets reach other nodes: flannel's backend type, like udp or vxlan",
        apply: (_, type) => ({ backend: type.toLowerCase() }),
      },
      '--kubernetes': {
        help: 'make the nodes a Kubernetes cluster',
        apply: () => ({ kubernetes: true }),
      },
      '--overlay': {
        value: 'KIND',
        help: 'how flanneld runs on its nodes: unit, a service, or daemonset, pods',
        apply: (_, overlay) => ({ kubernetes: true, overlay }),
      },
      '--demo': {
        help: 'with a deployment and a service in it that answer',
        apply: () => ({ kubernetes: true, demo: true }),
      },
      '--publish': {
        value: 'PORT:TARGET',
        help: 'lead a port of this machine to a port of its nodes (8080:30080) or a service (8080:default/web:80); again for more',
        apply: ({ publish = [] }, text) => ({ publish: [...publish, text] }),
      },
      '--wait': wait,
      '--file': {
        value: 'FILE',
        help: 'settings in YAML or JSON, by docs/settings.schema.json; flags come before them',
        short: '-f',
        apply: (_, file) => ({ file }),
      },
      '--config': config,
      '--unset': {
        value: 'KEY',
        help: 'remove a setting, so that its default applies; again for more',
        apply: ({ unset }, key) => ({ unset: [...unset, key] }),
      },
      '--yes': yes,
      '--verbose': verbose,
      '--help': help,
    },
  },
  down: {
    words: '',
    help: 'Removes a stack and everything it left on this machine',
    count: [0, 0],
    flags: { '--stack': stack, '--yes': yes, '--verbose': verbose, '--help': help },
  },
  stop: {
    words: '',
    help: 'Switches all machines of a local stack off; what is on their disks stays',
    count: [0, 0],
    flags: { '--stack': stack, '--help': help },
  },
  start: {
    words: '',
    help: 'Switches them on again, also after a reboot of this machine',
    count: [0, 0],
    flags: { '--stack': stack, '--wait': wait, '--yes': yes, '--verbose': verbose, '--help': help },
  },
  completion: {
    words: '',
    help: 'Prints what lets bash complete these commands: eval "$(npm run -s completion)"',
    count: [0, 0],
    flags: { '--help': help },
  },
  stacks: {
    words: '',
    help: 'Lists the stacks',
    count: [0, 0],
    flags: { '--help': help },
  },
  status: {
    words: '[NODE]',
    help: "Shows a stack's nodes and pods, which pods reach each other, and what is not well; or one node's flanneld",
    count: [0, 1],
    flags: {
      '--stack': stack,
      '--json': { help: "the stack's outputs and what each flanneld says, as JSON", apply: () => ({ json: true }) },
      '--help': help,
    },
  },
  logs: {
    words: 'NODE',
    help: "Shows the log of a node's flanneld, or of an etcd member",
    count: [1, 1],
    flags: {
      '--stack': stack,
      '--follow': { help: 'go on with what comes', short: '-f', apply: () => ({ follow: true }) },
      '--lines': {
        value: 'N',
        help: 'how many lines (200)',
        apply: (_, text) => ({ lines: count('--lines', text, 0) }),
      },
      '--help': help,
    },
  },
  shell: {
    words: 'NODE|POD [COMMAND...]',
    help: "Runs a command, or a shell, in the network of a node or pod, and ends with the command's exit code",
    count: [1, Number.POSITIVE_INFINITY],
    rest: true,
    flags: { '--stack': stack, '--help': help },
  },
  kubectl: {
    words: 'COMMAND...',
    help: "Runs kubectl as the administrator of a stack's cluster",
    count: [1, Number.POSITIVE_INFINITY],
    rest: true,
    flags: { '--stack': stack, '--help': help },
  },
  kubeconfig: {
    words: '[merge|remove]',
    help: "Prints the kubeconfig of a stack's cluster, or merges it into kubectl's own, or removes it from there",
    count: [0, 1],
    flags: { '--stack': stack, '--help': help },
  },
  image: {
    words: 'load FILE...',
    help: "Makes the images of an archive known to all nodes of a stack's cluster",
    count: [2, Number.POSITIVE_INFINITY],
    flags: { '--stack': stack, '--help': help },
  },
  pulumi: {
    words: 'COMMAND...',
    help: 'Runs any Pulumi command where the stacks are kept, e.g. "preview"',
    count: [1, Number.POSITIVE_INFINITY],
    rest: true,
    flags: { '--stack': stack, '--help': help },
  },
  'aws-preview': {
    words: '',
    help: 'Shows what a stack would create in AWS, without an account',
    count: [0, 0],
    flags: { '--stack': { ...stack, help: 'dev, ci or prod (dev)' }, '--config': config, '--help': help },
  },
  'aws-state': {
    words: '',
    help: 'Creates a bucket and a key in an AWS account for the state of stacks there, and says how to use them',
    count: [0, 0],
    flags: {
      '--region': { value: 'REGION', help: 'where, like eu-central-1', apply: (_, region) => ({ region }) },
      '--help': help,
    },
  },
  setup: {
    words: '[test] [bench]',
    help: 'Installs what the other commands need',
    count: [0, 2],
    flags: { '--help': help },
  },
  build: {
    words: '',
    help: 'Builds what nodes run and the Pulumi program, as far as it is out of date',
    count: [0, 0],
    flags: { '--help': help },
  },
  'flannel-image': {
    words: '',
    help: 'Builds the container image for Kubernetes, into dist/, without a container tool',
    count: [0, 0],
    flags: { '--help': help },
  },
  'etcd-artifact': {
    words: '',
    help: "Packs what etcd's machines in a cloud run, into dist/etcd",
    count: [0, 0],
    flags: {
      '--from': {
        value: 'DIR|FILE',
        help: "a directory with etcd and etcdctl, or a tarball of etcd's release (those found on PATH)",
        apply: ({ etcd }, from) => ({ etcd: { ...etcd, from } }),
      },
      '--sha256': {
        value: 'HASH',
        help: "what the release's SHA256SUMS says of the tarball; needed with one",
        apply: ({ etcd }, sha256) => ({ etcd: { ...etcd, sha256 } }),
      },
      '--version': {
        value: 'VERSION',
        help: 'of binaries that cannot be run here to be asked',
        apply: ({ etcd }, version) => ({ etcd: { ...etcd, version } }),
      },
      '--output': {
        value: 'DIR',
        help: 'where to put it (dist/etcd)',
        apply: ({ etcd }, output) => ({ etcd: { ...etcd, output } }),
      },
      '--help': help,
    },
  },
  test: {
    words: `[${SUITES.join('|')}|PATH...]`,
    help: 'Builds, checks and tests: everything, or what is named',
    count: [0, Number.POSITIVE_INFINITY],
    flags: {
      '--testNamePattern': {
        value: 'REGEX',
        help: 'only tests with such a name',
        short: '-t',
        apply: (_, testName) => ({ testName }),
      },
      '--help': help,
    },
  },
  fuzz: {
    words: '',
    help: 'Feeds random packets to both engines and damaged input to every parser',
    count: [0, 0],
    flags: {
      '--seconds': {
        value: 'N',
        help: 'how long (60); 0 runs one case',
        apply: (_, text) => ({ seconds: count('--seconds', text, 0) }),
      },
      '--seed': {
        value: 'N',
        help: 'seed of the first case, to reproduce a difference',
        apply: (_, text) => ({ seed: count('--seed', text, 0) }),
      },
      '--help': help,
    },
  },
  bench: {
    words: '',
    help: 'Measures throughput and latency on this machine',
    count: [0, 0],
    flags: {
      '--json': { value: 'FILE', help: 'write the results there', apply: (_, jsonFile) => ({ jsonFile }) },
      '--markdown': {
        value: 'FILE',
        help: 'write them there as a page',
        apply: (_, markdownFile) => ({ markdownFile }),
      },
      '--readme': {
        value: 'FILE',
        help: 'put the first figures between the marks in this file',
        apply: (_, readmeFile) => ({ readmeFile }),
      },
      '--from': {
        value: 'FILE',
        help: 'take the results of earlier --json instead of measuring; several with commas',
        apply: (_, from) => ({ from }),
      },
      '--only': { value: 'NAME', help: 'one benchmark; several with commas', apply: (_, only) => ({ only }) },
      '--quick': { help: 'less of each, to see whether a change was good', apply: () => ({ quick: true }) },
      '--help': help,
    },
  },
  ...ciCommands({ stack, config, help }),
};

/**
 * @param {string} name
 * @param {readonly string[]} args
 * @returns {Options}
 */
export function parseArguments(name, args) {
  const command = COMMANDS[name];
  if (command === undefined)
    throw new UsageError(`There is no command "${name}": use one of ${Object.keys(COMMANDS).join(', ')}`);
  /** @type {Options} */
  let options = {
    stack: DEFAULT_STACK,
    words: [],
    config: {},
    unset: [],
    verbose: false,
    yes: false,
    json: false,
    quick: false,
    seconds: 60,
    follow: false,
    lines: 200,
    help: false,
  };
  const queue = [...args];
  while (queue.length > 0) {
    const word = /** @type {string} */ (queue.shift());
    if (word === '--') {
      options = { ...options, words: [...options.words, ...queue.splice(0)] };
    } else if (!word.startsWith('-') || word === '-') {
      options = { ...options, words: [...options.words, word, ...(command.rest ? queue.splice(0) : [])] };
    } else {
      options = { ...options, ...readFlag(command, word, queue, options) };
    }
  }
  const [least, most] = command.count;
  if (!options.help && options.words.length < least) throw new UsageError(`"${name}" needs ${command.words}`);
  if (options.words.length > most) throw new UsageError(`"${name}" cannot use "${options.words[most]}"`);
  return options;
}

/**
 * @param {Command} command
 * @param {string} word
 * @param {string[]} queue
 * @param {Options} options
 */
function readFlag(command, word, queue, options) {
  const [, name = word, inline] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
  const flag = command.flags[name] ?? Object.values(command.flags).find(({ short }) => short === name);
  if (flag === undefined) throw new UsageError(`There is no flag ${name}`);
  if (flag.value === undefined) {
    if (inline !== undefined) throw new UsageError(`${name} takes no value, "${inline}" was given`);
    return flag.apply(options, '');
  }
  const value = inline ?? queue.shift();
  if (value === undefined) throw new UsageError(`${name} needs a value: ${name} ${flag.value}`);
  return flag.apply(options, value);
}

/**
 * @param {string} flag
 * @param {string} text
 * @param {number} least
 */
function count(flag, text, least) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least) return value;
  throw new UsageError(`${flag} is "${text}": use a whole number from ${least}`);
}

/**
 * @param {Options} options
 * @param {string} text
 */
function addSetting({ config }, text) {
  const [, key, value] = /^([A-Za-z][\w.:-]*)=(.*)$/s.exec(text) ?? [];
  if (key !== undefined && value !== undefined) return { config: { ...config, [key]: value } };
  throw new UsageError(`--config "${text}" has no value: use KEY=VALUE`);
}

/**
 * npm keeps flags that stand before "--" to itself, and hands them to the script only as variables.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
export function assertNothingKeptByNpm(name, env) {
  const event = env.npm_lifecycle_event ?? '';
  if (event.split(':')[0] !== name) return; // "test:aws" is a "test"
  const kept = Object.keys(COMMANDS[name]?.flags ?? {}).find((flag) => {
    const own = flag === '--json' || flag === '--yes' || flag === '--help'; // npm has these too
    return !own && env[`npm_config_${flag.slice(2).toLowerCase()}`] !== undefined;
  });
  if (kept === undefined) return;
  throw new UsageError(
    `npm kept ${kept} for itself: put "--" before the flags, as in "npm run ${event} -- ${kept} ..."`,
  );
}

/** Words that name a machine or a pod of a stack. */
const PART_NAME = /^(?:node|etcd|pod)-\d/;

/**
 * For an error: npm's own -s makes it silent, so whether one before "--" was meant for us can only be guessed from what is left of it.
 * @param {string} name
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined} a sentence for the user
 */
export function hintAtKeptStack(name, args, env) {
  if (env.npm_lifecycle_event !== name || env.npm_config_loglevel !== 'silent') return undefined;
  const word = args.find((arg) => !arg.startsWith('-'));
  const given = args.some((arg) => arg === '-s' || /^--stack(?:=|$)/.test(arg));
  if (COMMANDS[name]?.flags['--stack'] === undefined || given) return undefined;
  if (word === undefined || !STACK_NAME.test(word) || PART_NAME.test(word)) return undefined;
  return `If "${word}" is the stack: npm kept -s for itself, so put "--" before the flags, as in "npm run ${name} -- -s ${word}"`;
}

/**
 * @param {string} name
 * @param {number} [width] in columns
 */
export function usage(name, width = process.stderr.columns ?? 120) {
  const command = COMMANDS[name];
  if (command === undefined) {
    const list = Object.entries(COMMANDS).map(([each, { help: text }]) => hang(each.padEnd(13), text, width));
    return ['Usage: npm run COMMAND [-- ...]', '', ...list].join('\n');
  }
  const flags = Object.entries(command.flags).map(([flag, { short, value, help: text }]) => {
    const names = `${short ? `${short}, ` : ''}${flag}${value ? ` ${value}` : ''}`;
    return hang(names.padEnd(30), text, width);
  });
  const words = ['[FLAG...]', command.words].filter((word) => word !== '').join(' ');
  return [`Usage: npm run ${name} -- ${words}`, ...wrap(command.help, width), '', ...flags].join('\n');
}

/** Text that has less room than this beside what it explains is put below. */
const LEAST = 40;

/**
 * Text beside its heading, or below.
 * @param {string} heading
 * @param {string} text
 * @param {number} width
 */
function hang(heading, text, width) {
  const beside = heading.length + 3;
  if (width - beside >= LEAST) return `  ${heading} ${wrap(text, width - beside).join(`\n${' '.repeat(beside)}`)}`;
  return [`  ${heading.trimEnd()}`, ...wrap(text, width - 6).map((line) => `      ${line}`)].join('\n');
}

/**
 * @param {string} text
 * @param {number} width
 */
function wrap(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) === '' ? word : `${lines.at(-1)} ${word}`;
    if (line.length > width) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return lines;
}

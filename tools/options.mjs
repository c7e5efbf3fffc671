/** What the commands' arguments become: types only. */

/**
 * @typedef {object} CiOptions
 * @property {'local' | 'aws'} environment
 * @property {string} [branch]
 * @property {string} [commit]
 * @property {number} ttlHours
 * @property {boolean} keepOnFailure
 * @property {boolean} policies
 * @property {string} [reportFile]
 * @property {boolean} destroy
 * @property {boolean} [kubernetes] Kubernetes' own tests
 * @property {string} [kubeconfig] of another cluster
 * @property {string} [focus]
 */

/**
 * @typedef {object} EtcdOptions
 * @property {string} [from]
 * @property {string} [sha256]
 * @property {string} [version]
 * @property {string} [output]
 */

/**
 * @typedef {object} Options
 * @property {string} stack
 * @property {readonly string[]} words what is no flag
 * @property {number} [nodes]
 * @property {number} [pods] on each node
 * @property {string} [backend] type
 * @property {Readonly<Record<string, string>>} config
 * @property {readonly string[]} unset settings to go back to their defaults
 * @property {boolean} verbose
 * @property {boolean} yes
 * @property {boolean} json
 * @property {string} [jsonFile]
 * @property {string} [markdownFile]
 * @property {string} [readmeFile]
 * @property {string} [only]
 * @property {boolean} quick
 * @property {string} [from]
 * @property {number} seconds
 * @property {number} [seed]
 * @property {boolean} follow
 * @property {number} lines
 * @property {string} [testName]
 * @property {string} [region] of AWS
 * @property {CiOptions} [ci]
 * @property {EtcdOptions} [etcd]
 * @property {boolean} [kubernetes]
 * @property {boolean} [demo]
 * @property {readonly string[]} [publish]
 * @property {number} [wait] seconds
 * @property {string} [file] of settings
 * @property {string} [overlay] of a cluster
 * @property {boolean} help
 */

/**
 * @typedef {object} Flag
 * @property {string} [value] what stands for its value in the usage; a flag without is a switch
 * @property {string} help
 * @property {string} [short]
 * @property {(options: Options, value: string) => Partial<Options>} apply
 */

/**
 * @typedef {object} Command
 * @property {string} words
 * @property {string} help
 * @property {readonly [number, number]} count how many words: at least, at most
 * @property {boolean} [rest] what follows the first word is not for us, flags included
 * @property {Readonly<Record<string, Flag>>} flags
 */

export {};

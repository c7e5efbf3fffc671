// What runs in the pods of a conformance test. One file without dependencies, for Node.js and for the Bun inside flanneld.
//   probe.mjs serve PORT   answers TCP (what it got: bytes, sha256, and from which address) and UDP (the sha256); says
//                          "listening"
//   probe.mjs check PLAN   PLAN is a CheckPlan as JSON (checks.ts); prints a list of CheckResult as JSON
//   probe.mjs attach NETNS CONFLIST PLUGINS   gives a namespace an eth0 as a container runtime does, prints its address
//   probe.mjs detach NETNS CONFLIST PLUGINS   takes it away
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { basename, join } from 'node:path';

/** @typedef {import('./checks.ts').CheckPlan} CheckPlan */
/** @typedef {import('./checks.ts').CheckResult} CheckResult */
/** @typedef {import('./checks.ts').Target} Target */

const TIMEOUT_MS = 10_000;
const UDP_TRIES = 5;
/** IPv4 and ICMP headers. */
const PING_OVERHEAD = 28;
const ROUTE_POLL_MS = 250;

/** @param {string | Uint8Array} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param {number} port */
function serve(port) {
  const udp = createSocket('udp4');
  udp.on('message', (bytes, from) => udp.send(sha256(bytes), from.port, from.address));
  const tcp = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256');
    let bytes = 0;
    socket.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    socket.on('end', () =>
      socket.end(JSON.stringify({ bytes, sha256: hash.digest('hex'), from: socket.remoteAddress })),
    );
    socket.on('error', () => socket.destroy());
  });
  udp.bind(port, '0.0.0.0', () => tcp.listen(port, '0.0.0.0', () => console.log('listening')));
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {Promise<{code: number | null, output: string}>}
 */
function run(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** @param {readonly string[]} args */
async function ping(...args) {
  const { code, output } = await run('ping', ['-n', '-W', '2', ...args]);
  if (code !== 0) throw new Error(output.trim().split('\n').slice(-3).join('; '));
}

/**
 * Sends random bytes and gives what the peer says about them, after comparing.
 * @param {Target} target
 * @param {number} port
 * @param {number} size
 * @returns {Promise<{from: string}>}
 */
function exchange({ address }, port, size) {
  const bytes = randomBytes(size);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    let answer = '';
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    socket.on('connect', () => socket.end(bytes));
    socket.on('data', (chunk) => (answer += chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      const said = JSON.parse(answer);
      if (said.bytes === size && said.sha256 === sha256(bytes)) resolve(said);
      else reject(new Error(`${size} bytes were sent, the peer has ${said.bytes} with another sum`));
    });
  });
}

/**
 * One datagram, sent again a few times: it may be lost, but what arrives must be right.
 * @param {Target} target
 * @param {number} port
 * @param {number} size
 * @returns {Promise<void>}
 */
function datagram({ address }, port, size) {
  const bytes = randomBytes(size);
  const socket = createSocket('udp4');
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    let tries = 0;
    const send = () => {
      if (tries++ < UDP_TRIES) socket.send(bytes, port, address, (error) => error && reject(error));
      else reject(new Error(`no answer to ${UDP_TRIES} datagrams of ${size} bytes`));
    };
    const timer = setInterval(send, 400);
    socket.on('error', reject);
    socket.on('message', (answer) => {
      if (answer.toString() === sha256(bytes)) resolve();
      else reject(new Error(`the peer has another sum of ${size} bytes`));
    });
    socket.once('close', () => clearInterval(timer));
    send();
  }).finally(() => socket.close());
}

/**
 * Waits until the first answer: the last node's routes may still be on their way to the others.
 * @param {Target} target
 * @param {number} patienceMs
 */
async function waitForRoute({ address }, patienceMs) {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await ping('-c', '1', address);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, ROUTE_POLL_MS));
  }
}

/**
 * @param {string} expected
 * @param {string} seen
 */
function assertSeenAs(expected, seen) {
  const address = seen.replace(/^::ffff:/, '');
  if (address !== expected) throw new Error(`was seen as ${address}, and not as ${expected}`);
}

/** @type {Readonly<Record<import('./checks.ts').CheckName, (plan: CheckPlan, target: Target) => Promise<void>>>} */
const CHECKS = {
  async ping({ patienceMs }, target) {
    await waitForRoute(target, patienceMs);
    await ping('-c', '3', '-i', '0.2', target.address);
  },
  async tcp({ port }, target) {
    await exchange(target, port, 1024);
  },
  async udp({ port }, target) {
    await datagram(target, port, 1200);
  },
  async fragments({ port }, target) {
    await datagram(target, port, 20_000);
  },
  async stream({ port, streamBytes }, target) {
    await exchange(target, port, streamBytes);
  },
  async mtu(_, target) {
    const { output } = await run('ip', ['-o', 'link', 'show', 'eth0']);
    const mtu = Number(/ mtu (\d+) /.exec(output)?.[1]);
    await ping('-M', 'do', '-c', '2', '-i', '0.2', '-s', String(mtu - PING_OVERHEAD), target.address);
  },
  async source({ self, port }, target) {
    assertSeenAs(self.address, (await exchange(target, port, 1)).from);
  },
  async masquerade({ self, port }, target) {
    assertSeenAs(self.nodeAddress, (await exchange(target, port, 1)).from);
  },
};

/** @param {CheckPlan} plan */
async function check(plan) {
  /** @type {CheckResult[]} */
  const results = [];
  for (const target of plan.targets) {
    for (const name of target.checks) {
      const started = Date.now();
      const detail = await CHECKS[name](plan, target).then(
        () => undefined,
        (error) => /** @type {Error} */ (error).message,
      );
      const result = { from: plan.self.name, to: target.name, check: name, milliseconds: Date.now() - started };
      results.push(detail === undefined ? result : { ...result, problem: detail });
    }
  }
  console.log(JSON.stringify(results));
}

/**
 * CNI's protocol, section "Derived execution configuration": one plugin after the other, each with the result of the one
 * before; for DEL the other way round.
 * @param {'ADD' | 'DEL'} command
 * @param {readonly string[]} args
 */
async function runPlugins(command, [netns = '', conflist = '', plugins = '']) {
  const { cniVersion, name, plugins: chain } = JSON.parse(readFileSync(conflist, 'utf8'));
  const env = { CNI_COMMAND: command, CNI_NETNS: netns, CNI_IFNAME: 'eth0', CNI_PATH: plugins };
  /** @type {{ips: {address: string}[]} | undefined} */
  let prevResult;
  for (const conf of command === 'ADD' ? chain : chain.reverse()) {
    const input = JSON.stringify({ ...conf, cniVersion, name, ...(prevResult && { prevResult }) });
    const { status, stdout, stderr } = spawnSync(join(plugins, conf.type), {
      input,
      encoding: 'utf8',
      env: { ...process.env, ...env, CNI_CONTAINERID: basename(netns) },
    });
    if (status !== 0) throw new Error(`${conf.type} ${command} ended with ${status}: ${stdout}${stderr}`);
    prevResult = command === 'ADD' ? JSON.parse(stdout) : undefined;
  }
  for (const { address } of prevResult?.ips.slice(0, 1) ?? []) console.log(address.split('/')[0]);
}

// The CNI plugin is made with Bun as well, and would take this for itself.
delete process.env.BUN_BE_BUN;

const [mode, ...args] = process.argv.slice(2);
if (mode === 'serve') serve(Number(args[0]));
else if (mode === 'check') await check(JSON.parse(args[0] ?? ''));
else if (mode === 'attach') await runPlugins('ADD', args);
else if (mode === 'detach') await runPlugins('DEL', args);
else throw new Error(`probe.mjs cannot "${mode}"`);

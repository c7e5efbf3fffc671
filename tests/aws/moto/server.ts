/** moto's server, an emulation of AWS's API, started and asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { makeContext } from '../../../tools/setup/context.mjs';
import { findMoto } from '../../../tools/setup/moto.mjs';
import { REPOSITORY } from '../support/double.ts';

const PATIENCE_MS = 60_000;
const REGION = 'eu-central-1';

/** The emulation's no: AWS's code and sentence. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    sentence: string,
  ) {
    super(`${code}: ${sentence}`);
    this.name = 'Refusal';
  }
}

export type Parameters = Readonly<Record<string, string | number | boolean | undefined>>;

/** AWS's services that are asked in the query protocol, with the version of the API. */
const VERSIONS = { cloudformation: '2010-05-15', ec2: '2016-11-15', iam: '2010-05-08' } as const;
export type Service = keyof typeof VERSIONS;

export class Moto {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  static async start(): Promise<Moto> {
    const command = findMoto(makeContext(REPOSITORY, process.env));
    if (command === undefined) throw new Error('moto is not on this machine: "npm run setup -- test" brings it');
    const port = await freePort();
    const child = spawn(command[0]!, [...command.slice(1), '-H', '127.0.0.1', '-p', String(port)], {
      // AWS's own policies, as AmazonSSMManagedInstanceCore, are there only on demand.
      env: { ...process.env, MOTO_IAM_LOAD_MANAGED_POLICIES: 'true' },
      stdio: 'ignore',
    });
    const moto = new Moto(child, `http://127.0.0.1:${port}/`);
    await moto.untilReady();
    return moto;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }

  /** Gives the answer, which is XML. Throws a Refusal. */
  async ask(service: Service, action: string, parameters: Parameters): Promise<string> {
    const body = new URLSearchParams({ Action: action, Version: VERSIONS[service] });
    for (const [key, value] of Object.entries(parameters)) if (value !== undefined) body.set(key, String(value));
    // It finds the service by the credential's scope, and does not look at the signature.
    const scope = `test/20260101/${REGION}/${service}/aws4_request`;
    const authorization = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`;
    const response = await fetch(this.url, { method: 'POST', body, headers: { authorization } });
    const answer = await response.text();
    if (response.ok) return answer;
    throw new Refusal(
      field(answer, 'Code') ?? String(response.status),
      `${action}: ${field(answer, 'Message') ?? answer}`,
    );
  }

  private async untilReady(): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        await this.ask('ec2', 'DescribeRegions', {});
        return;
      } catch (error) {
        if (Date.now() > end || this.child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

/** The text of the first element of that name. */
export function field(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

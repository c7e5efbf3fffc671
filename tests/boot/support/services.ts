/**
 * STAND-INS for the parts of S3, the Systems Manager's parameters, EC2 and Auto Scaling that a machine calls, at one address. Who calls is
 * known by the credentials of its role, and a role may do what it was given and nothing else, as with IAM. Signatures are not
 * checked.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Statement } from '../../../infra/aws/policy.ts';
import { bodyOf } from './listen.ts';
import type { Credentials } from './metadata.ts';
import { type Attempt, allows } from './permissions.ts';

export interface Call extends Attempt {
  readonly role: string;
  readonly allowed: boolean;
}

export const REGION = 'eu-central-1';

interface Role {
  readonly name: string;
  readonly credentials: Credentials;
  readonly statements: readonly Statement[];
}

interface Parameter {
  readonly type: 'String' | 'SecureString';
  readonly value: string;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export class Services {
  /** By "bucket/key". */
  readonly objects = new Map<string, Buffer>();
  readonly parameters = new Map<string, Parameter>();
  /** Of every instance, and of its group: condition keys see them. */
  readonly instanceTags: Record<string, string> = {};
  readonly calls: Call[] = [];
  /** What instances asked for, in order. */
  readonly sourceDestChecks: string[] = [];
  /** "HOOK RESULT INSTANCE" of each that was completed, in order. */
  readonly completed: string[] = [];
  /** In the ARNs of what is called. */
  account = '000000000000';
  private readonly roles: Role[] = [];

  addRole(name: string, statements: readonly Statement[]): Credentials {
    const secret = (bytes: number) => randomBytes(bytes).toString('hex');
    const credentials = {
      accessKeyId: `ASIA${secret(8).toUpperCase()}`,
      secretAccessKey: secret(20),
      token: secret(64),
    };
    this.roles.push({ name, credentials, statements });
    return credentials;
  }

  readonly answer: RequestListener = (request, response) => {
    this.dispatch(request, response).catch((error) => refuse(request, response, error));
  };

  private async dispatch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const role = this.caller(request);
    const body = await bodyOf(request);
    if (request.headers['x-amz-target'] !== undefined) this.parameter(role, request, body, response);
    else if (isForm(request)) this.query(role, new URLSearchParams(body.toString()), response);
    else this.object(role, request, body, response);
  }

  private caller(request: IncomingMessage): Role {
    const [, keyId] = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '') ?? [];
    const token = request.headers['x-amz-security-token'];
    const role = this.roles.find(({ credentials }) => credentials.accessKeyId === keyId && credentials.token === token);
    if (role === undefined) throw new Refusal(403, 'InvalidAccessKeyId', 'No such credentials');
    return role;
  }

  private assertMay(role: Role, attempt: Attempt): void {
    const allowed = allows(role.statements, attempt);
    this.calls.push({ role: role.name, ...attempt, allowed });
    if (!allowed) throw new Refusal(403, 'AccessDenied', `${role.name} may not ${attempt.action} ${attempt.resource}`);
  }

  private parameter(role: Role, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const action = String(request.headers['x-amz-target']).replace('AmazonSSM.', 'ssm:');
    if (action !== 'ssm:GetParameter') throw new Refusal(400, 'UnknownOperationException', action);
    const { Name, WithDecryption } = JSON.parse(body.toString()) as { Name: string; WithDecryption?: boolean };
    this.assertMay(role, { action, resource: `arn:aws:ssm:${REGION}:${this.account}:parameter${Name}` });
    const found = this.parameters.get(Name);
    if (found === undefined) throw new Refusal(400, 'ParameterNotFound', Name);
    const { type, value } = found;
    // As the service does: who does not ask to decrypt gets what is stored.
    const shown = type === 'SecureString' && !WithDecryption ? 'AQICAHgencrypted' : value;
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify({ Parameter: { Name, Type: type, Value: shown, Version: 1 } }));
  }

  private query(role: Role, form: URLSearchParams, response: ServerResponse): void {
    const action = form.get('Action') ?? '';
    if (action === 'CompleteLifecycleAction') this.complete(role, form);
    else this.instance(role, action, form);
    response.writeHead(200, { 'content-type': 'text/xml' });
    const result = `<${action}Result></${action}Result><return>true</return>`;
    response.end(`<${action}Response>${result}<requestId>1</requestId></${action}Response>`);
  }

  private complete(role: Role, form: URLSearchParams): void {
    const [hook, result, id] = ['LifecycleHookName', 'LifecycleActionResult', 'InstanceId'].map((key) => form.get(key));
    this.assertMay(role, {
      action: 'autoscaling:CompleteLifecycleAction',
      resource: `arn:aws:autoscaling:${REGION}:${this.account}:autoScalingGroup:1:autoScalingGroupName/${form.get('AutoScalingGroupName')}`,
      context: this.tagsAs('autoscaling'),
    });
    this.completed.push(`${hook} ${result} ${id}`);
  }

  /** As the service's condition keys see them. */
  private tagsAs(service: string): Readonly<Record<string, string>> {
    const tags = Object.entries(this.instanceTags).map(([name, value]) => [`${service}:ResourceTag/${name}`, value]);
    return Object.fromEntries(tags);
  }

  private instance(role: Role, action: string, form: URLSearchParams): void {
    this.assertMay(role, {
      action: `ec2:${action}`,
      resource: `arn:aws:ec2:${REGION}:${this.account}:instance/${form.get('InstanceId')}`,
      context: {
        ...this.tagsAs('ec2'),
        ...(form.has('SourceDestCheck.Value') && { 'ec2:Attribute': 'SourceDestCheck' }),
      },
    });
    const check = form.get('SourceDestCheck.Value');
    if (check !== null) this.sourceDestChecks.push(check);
  }

  private object(role: Role, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://s3');
    const name = decodeURIComponent(url.pathname.slice(1));
    const [bucket = '', ...key] = name.split('/');
    if (key.join('/') === '') this.list(role, bucket, url.searchParams.get('prefix') ?? '', response);
    else if (request.method === 'PUT') {
      this.assertMay(role, { action: 's3:PutObject', resource: `arn:aws:s3:::${name}` });
      const bytes = isChunked(request) ? unchunk(body) : body;
      this.objects.set(name, bytes);
      response.writeHead(200, { etag: etag(bytes) }).end();
    } else this.get(role, name, request, response);
  }

  private get(role: Role, name: string, { method, headers }: IncomingMessage, response: ServerResponse): void {
    if (method !== 'GET' && method !== 'HEAD') throw new Refusal(405, 'MethodNotAllowed', String(method));
    this.assertMay(role, { action: 's3:GetObject', resource: `arn:aws:s3:::${name}` });
    const bytes = this.objects.get(name);
    if (bytes === undefined) {
      // Whether an object is missing is told only to those who may list the bucket, whatever the prefix.
      this.assertMay(role, { action: 's3:ListBucket', resource: `arn:aws:s3:::${name.split('/', 1)}` });
      throw new Refusal(404, 'NoSuchKey', name);
    }
    send(response, bytes, headers.range, method === 'HEAD');
  }

  private list(role: Role, bucket: string, prefix: string, response: ServerResponse): void {
    const context = { 's3:prefix': prefix };
    this.assertMay(role, { action: 's3:ListBucket', resource: `arn:aws:s3:::${bucket}`, context });
    const names = [...this.objects.keys()].filter((name) => name.startsWith(`${bucket}/${prefix}`)).sort();
    const contents = names.map((name) => {
      const bytes = this.objects.get(name)!;
      const key = name.slice(bucket.length + 1);
      const modified = '<LastModified>2024-01-01T00:00:00.000Z</LastModified>';
      return `<Contents><Key>${key}</Key>${modified}<ETag>${etag(bytes)}</ETag><Size>${bytes.length}</Size></Contents>`;
    });
    const head = `<Name>${bucket}</Name><Prefix>${prefix}</Prefix><KeyCount>${names.length}</KeyCount>`;
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(`<ListBucketResult>${head}<IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`);
  }
}

function send(response: ServerResponse, bytes: Buffer, range: string | undefined, isHead: boolean): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = to ? Math.min(Number(to), bytes.length - 1) : bytes.length - 1;
  const part = bytes.subarray(start, end + 1);
  response.writeHead(from === undefined ? 200 : 206, {
    'content-length': part.length,
    'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT',
    'accept-ranges': 'bytes',
    etag: etag(bytes),
    ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${bytes.length}` }),
  });
  response.end(isHead ? undefined : part);
}

/** S3 names an object's content by its MD5. */
function etag(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

/** Newer clients send the body in signed chunks, with a checksum behind: SIZE;chunk-signature=...CRLF BYTES CRLF ... 0 CRLF. */
function isChunked({ headers }: IncomingMessage): boolean {
  return String(headers['content-encoding']).includes('aws-chunked');
}

function unchunk(body: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, line), 16);
    if (!(size > 0)) return Buffer.concat(chunks);
    chunks.push(body.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

/** EC2's way of asking. */
function isForm({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false;
}

/** In the form of the service that was asked. */
function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const { status, code, message } = error instanceof Refusal ? error : new Refusal(500, 'InternalError', String(error));
  if (request.headers['x-amz-target'] !== undefined) {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify({ __type: code, message }));
    return;
  }
  const text = `<Code>${code}</Code><Message>${message}</Message>`;
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(
    isForm(request) ? `<Response><Errors><Error>${text}</Error></Errors></Response>` : `<Error>${text}</Error>`,
  );
}

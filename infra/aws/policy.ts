/** IAM's policy documents as values. Pure; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html */

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export function allow(
  sid: string,
  actions: readonly string[],
  resources: readonly string[],
  condition?: Statement['Condition'],
): Statement {
  return {
    Sid: sid,
    Effect: 'Allow',
    Action: actions,
    Resource: resources,
    ...(condition !== undefined && { Condition: condition }),
  };
}

export function policy(statements: readonly Statement[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}

/** Lets a service take a role. */
export function trust(service: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }],
  });
}

/** Refuses to serve a bucket without TLS, which a signature alone does not prevent. */
export function onlyByTls(bucketArn: string): Statement {
  return {
    Sid: 'OnlyByTls',
    Effect: 'Deny',
    Principal: '*',
    Action: ['s3:*'],
    Resource: [bucketArn, `${bucketArn}/*`],
    Condition: { Bool: { 'aws:SecureTransport': 'false' } },
  };
}

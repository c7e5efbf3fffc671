/** A mock of AWS: runs the program, makes nothing, and records what was registered with what it depends on. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as pulumi from '@pulumi/pulumi';
import { MockMonitor } from '@pulumi/pulumi/runtime/mocks';
import type { EnvironmentOutputs } from '../../outputs.ts';
import { type Committed, committedSettings } from './stack-file.ts';

export interface Recorded {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  /** URN. */
  readonly parent: string;
  readonly custom: boolean;
  readonly protect: boolean;
  readonly retainOnDelete: boolean;
  /** URN and id of the provider; empty where Pulumi takes its default. */
  readonly provider: string;
  /** URNs, of properties and of dependsOn. */
  readonly dependencies: readonly string[];
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** As far as it is asked here (grpc's generated resource_pb). */
interface RegisterRequest {
  getType(): string;
  getName(): string;
  getParent(): string;
  getCustom(): boolean;
  getProtect(): boolean;
  getRetainondelete(): boolean;
  getProvider(): string;
  getDependenciesList(): string[];
  getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
}

/** What AWS and the certificates' provider would compute, recognizable. */
function computed(type: string, name: string): Record<string, unknown> {
  return {
    arn: type === 'aws:kms/key:Key' ? 'arn:aws:kms:eu-central-1:123456789012:key/k' : `arn:aws:x:::${name}`,
    bucket: `${name}-bucket`,
    name: `${name}-name`,
    publicIp: '192.0.2.1',
    prefixListId: 'pl-s3',
    latestVersion: 1,
    privateKeyPem: `PRIVATE KEY of ${name}`,
    certPem: `certificate of ${name}`,
    certRequestPem: `request of ${name}`,
  };
}

const FUNCTIONS: Readonly<Record<string, Record<string, unknown>>> = {
  'aws:ssm/getParameter:getParameter': { insecureValue: 'ami-0123456789abcdef0' },
  'aws:ec2/getInstances:getInstances': { ids: ['i-1', 'i-2'], privateIps: ['10.64.0.4', '10.64.0.5'] },
};

export interface Run {
  readonly resources: readonly Recorded[];
  readonly outputs: EnvironmentOutputs;
}

/** Registers the resources of a committed stack, with some settings changed. */
export async function recordStack(stack: Committed, changes: Record<string, string> = {}): Promise<Run> {
  const resources: Recorded[] = [];
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => ({
        id: `${name}-id`,
        state: { ...computed(type, name), output: inputs.input, ...inputs },
      }),
      call: ({ token }) => FUNCTIONS[token] ?? {},
    },
    'flannel',
    stack,
  );
  const { registerResource } = MockMonitor.prototype;
  MockMonitor.prototype.registerResource = function (req: RegisterRequest, callback) {
    return registerResource.call(this, req, (error, response: { getUrn(): string }) => {
      if (!error) resources.push(recorded(req, response.getUrn()));
      callback(error, response);
    });
  };
  const directory = mkdtempSync(join(tmpdir(), 'flannel-artifacts-'));
  try {
    const { createAwsEnvironment } = await import('../environment.ts');
    const settings = committedSettings(stack, { ...changes, etcdArtifact: makeArtifact(directory, 'etcd') });
    const { readConfiguredArtifact } = await import('../../configured.ts');
    const outputs = createAwsEnvironment(settings, readConfiguredArtifact(makeArtifact(directory, 'flannel')));
    await pulumi.runtime.disconnect();
    return { resources, outputs };
  } finally {
    MockMonitor.prototype.registerResource = registerResource;
    rmSync(directory, { recursive: true });
  }
}

function recorded(req: RegisterRequest, urn: string): Recorded {
  return {
    urn,
    type: req.getType(),
    name: req.getName(),
    parent: req.getParent(),
    custom: req.getCustom(),
    protect: req.getProtect(),
    retainOnDelete: req.getRetainondelete(),
    provider: req.getProvider(),
    dependencies: req.getDependenciesList(),
    inputs: req.getObject()?.toJavaScript() ?? {},
  };
}

/** Gives its directory. */
function makeArtifact(parent: string, product: string): string {
  const directory = mkdtempSync(join(parent, `${product}-`));
  const file = `${product}-1-linux-amd64.tar.gz`;
  writeFileSync(join(directory, file), product);
  const manifest = { version: '1', artifact: { file, sha256: product === 'etcd' ? 'e'.repeat(64) : 'f'.repeat(64) } };
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  return directory;
}

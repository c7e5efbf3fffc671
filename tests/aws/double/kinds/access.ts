/** Roles, policies and keys: terraform-provider-aws, internal/service/iam and internal/service/kms. */
import { createHash } from 'node:crypto';
import { ACCOUNT, type Cloud, type Context } from '../cloud.ts';
import { ApiError } from '../errors.ts';
import type { Kind, Reference } from '../kind.ts';
import { type Bag, text } from '../values.ts';

const ROLE = 'aws:iam/role:Role';
const PROFILE = 'aws:iam/instanceProfile:InstanceProfile';
const POLICY = 'aws:iam/policy:Policy';
const INLINE = 'aws:iam/rolePolicy:RolePolicy';
const ATTACHED = 'aws:iam/rolePolicyAttachment:RolePolicyAttachment';
const KEY = 'aws:kms/key:Key';

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: characters, white space not counted. */
const LIMITS = { trust: 2048, inline: 10_240, managed: 6144 } as const;

interface Statement {
  readonly Effect?: unknown;
  readonly Action?: unknown;
  readonly NotAction?: unknown;
  readonly Resource?: unknown;
  readonly NotResource?: unknown;
  readonly Principal?: unknown;
}

/** What IAM refuses of a policy; undefined if it is sound. */
export function policyProblem(document: unknown, needs: 'Resource' | 'Principal'): string | undefined {
  if (typeof document !== 'string') return undefined;
  let parsed: { readonly Version?: unknown; readonly Statement?: unknown };
  try {
    parsed = JSON.parse(document);
  } catch (error) {
    return `contains an invalid JSON policy: ${(error as Error).message}`;
  }
  if (parsed.Version !== '2012-10-17') return `has the Version ${JSON.stringify(parsed.Version)}, not 2012-10-17`;
  const statements = (Array.isArray(parsed.Statement) ? parsed.Statement : [parsed.Statement]) as (
    | Statement
    | undefined
  )[];
  const bad = statements.find(
    (each) =>
      (each?.Effect !== 'Allow' && each?.Effect !== 'Deny') ||
      (each.Action ?? each.NotAction) === undefined ||
      (needs === 'Resource' ? (each.Resource ?? each.NotResource) === undefined : each.Principal === undefined),
  );
  return bad === undefined ? undefined : `has a statement without Effect, Action or ${needs}: ${JSON.stringify(bad)}`;
}

function assertSize(document: string | undefined, limit: number): void {
  const size = (document ?? '').replaceAll(/\s/g, '').length;
  if (size > limit) throw new ApiError('LimitExceeded', `Maximum policy size of ${limit} bytes exceeded: ${size}`);
}

const ofRole: Reference = { path: 'role', type: ROLE, code: 'NoSuchEntity' };

function iamArn(kind: string, inputs: Bag): string {
  return `arn:aws:iam::${ACCOUNT}:${kind}${text(inputs, 'path') ?? '/'}${text(inputs, 'name')}`;
}

function uniqueId(prefix: string, name: string): string {
  return `${prefix}${createHash('sha256').update(name).digest('hex').slice(0, 17).toUpperCase()}`;
}

/** AWS's own policies have no account; all others must be there. */
function assertPolicy(inputs: Bag, { cloud }: Context): void {
  const arn = text(inputs, 'policyArn') ?? '';
  if (/^arn:aws:iam::aws:policy\/[\w+=,.@/-]+$/.test(arn)) return;
  cloud.require(POLICY, arn, 'NoSuchEntity', 'policy');
}

function keyId(cloud: Cloud): string {
  const digits = createHash('sha256').update(cloud.newId('key')).digest('hex');
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20, 32),
  ].join('-');
}

export const ACCESS: readonly Kind[] = [
  {
    type: ROLE,
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix', 'path'],
    validate: ({ assumeRolePolicy, name }) => ({
      assumeRolePolicy: policyProblem(assumeRolePolicy, 'Principal'),
      name: typeof name === 'string' && name.length > 64 ? `has ${name.length} characters, 64 are allowed` : undefined,
    }),
    admit: (inputs) => assertSize(text(inputs, 'assumeRolePolicy'), LIMITS.trust),
    outputs: (inputs) => ({
      arn: iamArn('role', inputs),
      uniqueId: uniqueId('AROA', text(inputs, 'name')!),
      createDate: '2026-01-01T00:00:00Z',
      path: '/',
      maxSessionDuration: 3600,
    }),
    blockers: [
      { type: INLINE, path: 'role' },
      { type: ATTACHED, path: 'role' },
      { type: PROFILE, path: 'role' },
    ],
    inUse: 'DeleteConflict',
  },
  {
    type: INLINE,
    untagged: true,
    autoName: 'name',
    id: (inputs) => `${text(inputs, 'role')}:${text(inputs, 'name')}`,
    replaces: ['name', 'namePrefix', 'role'],
    validate: ({ policy }) => ({ policy: policyProblem(policy, 'Resource') }),
    references: [ofRole],
    admit: (inputs) => assertSize(text(inputs, 'policy'), LIMITS.inline),
  },
  {
    type: ATTACHED,
    untagged: true,
    id: (inputs) => `${text(inputs, 'role')}/${text(inputs, 'policyArn')}`,
    replaces: 'all',
    references: [ofRole],
    admit: assertPolicy,
  },
  {
    type: POLICY,
    autoName: 'name',
    id: (inputs) => iamArn('policy', inputs),
    replaces: ['name', 'namePrefix', 'path', 'description'],
    validate: ({ policy }) => ({ policy: policyProblem(policy, 'Resource') }),
    admit: (inputs) => assertSize(text(inputs, 'policy'), LIMITS.managed),
    outputs: (inputs) => ({ arn: iamArn('policy', inputs), policyId: uniqueId('ANPA', text(inputs, 'name')!) }),
    blockers: [{ type: ATTACHED, path: 'policyArn' }],
    inUse: 'DeleteConflict',
  },
  {
    type: PROFILE,
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix', 'path'],
    references: [ofRole],
    outputs: (inputs) => ({
      arn: iamArn('instance-profile', inputs),
      uniqueId: uniqueId('AIPA', text(inputs, 'name')!),
    }),
  },
  {
    type: KEY,
    id: (_, { cloud }) => keyId(cloud),
    replaces: ['customerMasterKeySpec', 'keyUsage', 'multiRegion', 'customKeyStoreId', 'xksKeyId'],
    validate: ({ deletionWindowInDays: days, policy }) => ({
      deletionWindowInDays: typeof days === 'number' && (days < 7 || days > 30) ? `is ${days}, not 7 to 30` : undefined,
      policy: policyProblem(policy, 'Principal'),
    }),
    outputs: (_, id, { region }) => ({
      arn: `arn:aws:kms:${region}:${ACCOUNT}:key/${id}`,
      keyId: id,
      policy: '',
      isEnabled: true,
    }),
  },
  {
    type: 'aws:kms/alias:Alias',
    untagged: true,
    autoName: 'name',
    id: (inputs) => text(inputs, 'name')!,
    replaces: ['name', 'namePrefix'],
    validate: ({ name }) => ({
      name:
        typeof name === 'string' && !/^alias\/(?!aws\/)[a-zA-Z0-9/_-]+$/.test(name)
          ? `is ${name}, not alias/...`
          : undefined,
    }),
    references: [{ path: 'targetKeyId', type: KEY, code: 'NotFoundException' }],
    outputs: (inputs, id, { region }) => ({
      arn: `arn:aws:kms:${region}:${ACCOUNT}:${id}`,
      targetKeyArn: text(inputs, 'targetKeyId')!,
    }),
  },
];

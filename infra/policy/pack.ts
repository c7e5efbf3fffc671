/** The policies as Pulumi's SDK takes them. */
import type {
  Policies,
  PolicyProviderResource,
  PolicyResource,
  ResourceValidationArgs,
  ResourceValidationPolicy,
  StackValidationPolicy,
} from '@pulumi/policy';
import { leastPrivilege, taggedResources } from './access.ts';
import { imdsV2, plainUserData, taggedLaunches } from './machines.ts';
import {
  describedRules,
  noPublicAddresses,
  noPublicIngress,
  noSsh,
  reasonedEgress,
  rulesAsResources,
} from './network.ts';
import {
  type Check,
  knownOr,
  type Policy,
  type ResourceContext,
  type ResourcePolicy,
  type StackPolicy,
  type StackResource,
  type Type,
} from './rule.ts';
import {
  bucketsByTls,
  encryptedVolumes,
  patientKeys,
  privateBuckets,
  protectedData,
  secureParameters,
  versionedBuckets,
} from './storage.ts';

export const POLICIES: readonly Policy[] = [
  noPublicIngress,
  reasonedEgress,
  describedRules,
  rulesAsResources,
  noSsh,
  noPublicAddresses,
  imdsV2,
  plainUserData,
  taggedLaunches,
  encryptedVolumes,
  patientKeys,
  protectedData,
  secureParameters,
  privateBuckets,
  versionedBuckets,
  bucketsByTls,
  leastPrivilege,
  taggedResources,
];

export function toPulumi(policies: readonly Policy[]): Policies {
  return policies.map((policy) => (policy.kind === 'resource' ? resourceValidation(policy) : stackValidation(policy)));
}

function resourceValidation({ name, description, checks }: ResourcePolicy): ResourceValidationPolicy {
  return {
    name,
    description,
    validateResource: (args, report) => {
      const check = checks[args.type as Type] as Check<Type> | undefined;
      if (check === undefined) return;
      for (const sentence of check(args.props as never, context(args))) report(sentence);
    },
  };
}

/** A URN is urn:pulumi:STACK::PROJECT::TYPE::NAME. */
function context({ urn, opts, props, provider }: ResourceValidationArgs): ResourceContext {
  const [stack = '', project = ''] = urn.replace(/^urn:pulumi:/, '').split('::');
  return { stack, project, protect: opts.protect, tags: knownOr(undefined, () => allTags(props.tags, provider)) };
}

function allTags(own: Record<string, string> | undefined, provider: PolicyProviderResource | undefined) {
  const given = provider?.props.defaultTags as string | { tags?: Record<string, string> } | undefined;
  // A provider's settings are strings; what is inside of them is JSON.
  const defaults = (typeof given === 'string' ? (JSON.parse(given) as { tags?: Record<string, string> }) : given)?.tags;
  return { ...defaults, ...own };
}

function stackValidation({ name, description, check }: StackPolicy): StackValidationPolicy {
  return {
    name,
    description,
    validateStack: ({ resources }, report) => {
      for (const { urn, message } of check(resources.map(stackResource))) report(message, urn);
    },
  };
}

function stackResource({ type, urn, props, propertyDependencies }: PolicyResource): StackResource {
  const from = Object.entries(propertyDependencies).map(([key, made]) => [key, made.map((each) => each.urn)] as const);
  return { type, urn, props, from: Object.fromEntries(from) };
}

/** The functions that read of AWS: data sources of the provider. */
import { ACCOUNT, type Cloud } from './cloud.ts';
import { ApiError } from './errors.ts';
import { IMAGES } from './kinds/machines.ts';
import { zonesOf } from './kinds/network.ts';
import { type Bag, bags, text, texts, type Value } from './values.ts';

export interface Place {
  readonly cloud: Cloud;
  readonly region: string;
}

type ApiFunction = (args: Bag, place: Place) => Bag;

/** https://docs.aws.amazon.com/linux/al2023/ug/ec2.html: public parameters that name the newest image. */
const IMAGE_PARAMETER =
  /^\/aws\/service\/ami-amazon-linux-latest\/al2023-ami-(?:minimal-)?kernel-[\w.]+-(arm64|x86_64)$/;

function getParameter(args: Bag, { cloud, region }: Place): Bag {
  const name = text(args, 'name')!;
  const [, architecture] = IMAGE_PARAMETER.exec(name) ?? [];
  if (architecture !== undefined) {
    const images = Object.keys(IMAGES).filter((image) => IMAGES[image] === architecture);
    const image = images[Math.min(cloud.published, images.length - 1)]!;
    return {
      id: name,
      name,
      value: image,
      insecureValue: image,
      type: 'String',
      version: 1,
      arn: `arn:aws:ssm:${region}::parameter${name}`,
    };
  }
  const found = cloud.require('aws:ssm/parameter:Parameter', name, 'ParameterNotFound', 'parameter');
  return { ...found.outputs, id: name };
}

/** As the provider writes it: one value alone is no list, and there is a Version. */
function getPolicyDocument(args: Bag): Bag {
  const statements = bags(args.statements).map((statement) => ({
    ...(text(statement, 'sid') === undefined ? {} : { Sid: text(statement, 'sid')! }),
    Effect: text(statement, 'effect') ?? 'Allow',
    ...one('Action', texts(statement.actions)),
    ...one('NotAction', texts(statement.notActions)),
    ...one('Resource', texts(statement.resources)),
    ...one('NotResource', texts(statement.notResources)),
    ...principals(bags(statement.principals)),
    ...conditions(bags(statement.conditions)),
  }));
  const json = JSON.stringify({ Version: '2012-10-17', Statement: statements }, undefined, 2);
  return { ...args, id: String(json.length), json, minifiedJson: JSON.stringify(JSON.parse(json)) };
}

function one(key: string, values: readonly string[]): Readonly<Record<string, Value>> {
  if (values.length === 0) return {};
  return { [key]: values.length === 1 ? values[0]! : [...values].sort().reverse() };
}

function principals(all: readonly Bag[]): Readonly<Record<string, unknown>> {
  if (all.length === 0) return {};
  if (all.some((each) => text(each, 'type') === '*')) return { Principal: '*' };
  const entries = all.map((each) => Object.entries(one(text(each, 'type')!, texts(each.identifiers)))[0]!);
  return { Principal: Object.fromEntries(entries) };
}

function conditions(all: readonly Bag[]): Readonly<Record<string, unknown>> {
  if (all.length === 0) return {};
  const tests = new Map<string, Readonly<Record<string, Value>>>();
  for (const each of all) {
    const test = text(each, 'test')!;
    tests.set(test, { ...tests.get(test), ...one(text(each, 'variable')!, texts(each.values)) });
  }
  return { Condition: Object.fromEntries(tests) };
}

/** Machines of groups are found by their tags, as aws:autoscaling:groupName. */
function getInstances(args: Bag, { cloud }: Place): Bag {
  const tags = Object.entries((args.instanceTags ?? {}) as Bag);
  const found = [...cloud.machines.values()].filter((machine) => {
    const all: Bag = { ...machine.tags, 'aws:autoscaling:groupName': machine.group };
    return tags.every(([key, value]) => all[key] === value);
  });
  return {
    ...args,
    id: 'instances',
    ids: found.map(({ id }) => id),
    privateIps: found.map(({ address }) => address),
    publicIps: [],
  };
}

const FUNCTIONS: Readonly<Record<string, ApiFunction>> = {
  'aws:ssm/getParameter:getParameter': getParameter,
  'aws:iam/getPolicyDocument:getPolicyDocument': getPolicyDocument,
  'aws:ec2/getInstances:getInstances': getInstances,
  'aws:index/getAvailabilityZones:getAvailabilityZones': (args, { region }) => ({
    ...args,
    id: region,
    names: zonesOf(region),
    zoneIds: zonesOf(region),
    groupNames: [region],
  }),
  'aws:index/getCallerIdentity:getCallerIdentity': () => ({
    id: ACCOUNT,
    accountId: ACCOUNT,
    arn: `arn:aws:iam::${ACCOUNT}:user/test-double`,
    userId: 'AIDATESTDOUBLE',
  }),
  'aws:index/getRegion:getRegion': (_, { region }) => ({ id: region, region, name: region, description: region }),
  'aws:index/getPartition:getPartition': () => ({
    id: 'aws',
    partition: 'aws',
    dnsSuffix: 'amazonaws.com',
    reverseDnsPrefix: 'com.amazonaws',
  }),
  'aws:ec2/getAmi:getAmi': (args) => {
    const [wanted = ''] = bags(args.filters).flatMap((filter) =>
      text(filter, 'name') === 'architecture' ? texts(filter.values) : [],
    );
    const [image] = Object.entries(IMAGES).find(([, each]) => each === wanted) ?? [];
    if (image === undefined) throw new ApiError('InvalidAMIID.NotFound', `No image for the architecture '${wanted}'`);
    return { ...args, id: image, imageId: image, architecture: wanted };
  },
};

export function invoke(token: string, args: Bag, place: Place): Bag {
  const implementation = FUNCTIONS[token];
  if (implementation === undefined) {
    throw new Error(
      `The function ${token} is not known to this test double: describe it in tests/aws/double/functions.ts`,
    );
  }
  return implementation(args, place);
}

import { invalidNetworkConfig as invalid } from './errors.ts';

/** One set of rules for both families, in 128-bit numbers; flannel has them twice (subnet/config.go). */
export interface FamilyRules {
  /** Before the key names and in messages: '' or 'IPv6'. */
  readonly keyPrefix: string;
  readonly bits: number;
  readonly defaultLength: number;
  readonly format: (address: bigint) => string;
}

export interface RangeInput {
  readonly base: bigint;
  readonly networkLength: number;
  readonly length: number | undefined;
  readonly min: bigint | undefined;
  readonly max: bigint | undefined;
}

export interface SubnetRange {
  readonly length: number;
  readonly min: bigint;
  readonly max: bigint;
}

/** Completes and checks SubnetLen, SubnetMin and SubnetMax. Addresses of 0 count as not given, as in Go. */
export function subnetRange(rules: FamilyRules, input: RangeInput): SubnetRange {
  const length = subnetLength(rules, input);
  const size = 1n << BigInt(rules.bits - length);
  const end = input.base + (1n << BigInt(rules.bits - input.networkLength));
  // The first subnet is left out: its first address is the network's own (flannel: "otherwise it causes problems").
  const min = input.min || input.base + size;
  const max = input.max || end - size;
  for (const [key, value] of [
    ['SubnetMin', min],
    ['SubnetMax', max],
  ] as const) {
    const name = rules.keyPrefix + key;
    const text = rules.format(value);
    if (value < input.base || value >= end) {
      throw invalid(
        `${name} is not in the range of the ${rules.keyPrefix}Network: ${text} is outside ${networkText(rules, input)}`,
      );
    }
    if (value % size !== 0n) {
      const aligned = rules.format(value - (value % size));
      throw invalid(
        `${name} is not on a SubnetLen boundary: ${text} is inside the subnet ${aligned}/${length}, write ${aligned}`,
      );
    }
  }
  // flannel does not look at this and then finds no subnet.
  if (min > max) {
    throw invalid(
      `${rules.keyPrefix}SubnetMin ${rules.format(min)} is after ${rules.keyPrefix}SubnetMax ${rules.format(max)}: exchange them`,
    );
  }
  return { length, min, max };
}

function subnetLength(rules: FamilyRules, input: RangeInput): number {
  const { networkLength } = input;
  const longest = rules.bits - 2;
  if (input.length) {
    // A tunnel and a bridge on each node need addresses.
    if (input.length > longest) {
      throw invalid(`SubnetLen must be less than /${longest + 1}: ${rules.keyPrefix}SubnetLen is ${input.length}`);
    }
    if (input.length < networkLength + 2) {
      throw invalid(
        `network must be able to accommodate at least four subnets: ${rules.keyPrefix}SubnetLen ${input.length} in ` +
          `${networkText(rules, input)}, write ${rules.keyPrefix}SubnetLen ${networkLength + 2} or more or take a larger network`,
      );
    }
    return input.length;
  }
  const smallest = rules.bits - 4;
  if (networkLength > smallest) {
    throw invalid(
      `${rules.keyPrefix}Network is too small. Minimum useful network prefix is /${smallest}: ` +
        `${rules.keyPrefix}Network is ${networkText(rules, input)}`,
    );
  }
  return networkLength <= rules.defaultLength - 2 ? rules.defaultLength : networkLength + 2;
}

function networkText(rules: FamilyRules, input: RangeInput): string {
  return `${rules.format(input.base)}/${input.networkLength}`;
}

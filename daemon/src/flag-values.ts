/** The values of flags, from the command line or else the environment, read as what a flag means. */
import { type Ip, isIpText, isLinkLocal, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { messageOf } from './errors.ts';
import { FLAGS, type FlagName } from './flag-table.ts';
import { booleanValue, checkValue, environmentName, type ParsedFlags, usage } from './flags.ts';

export class FlagValues {
  constructor(private readonly values: ReadonlyMap<string, readonly string[]>) {}

  all(name: FlagName): readonly string[] {
    return (this.values.get(name) ?? []).filter((value) => value !== '');
  }

  text(name: FlagName): string {
    return this.values.get(name)?.at(-1) ?? FLAGS[name].fallback;
  }

  optional(name: FlagName): string | undefined {
    return this.text(name) === '' ? undefined : this.text(name);
  }

  /** By the command line or the environment, be it with the default value. */
  isGiven(name: FlagName): boolean {
    return this.values.has(name);
  }

  flag(name: FlagName): boolean {
    return booleanValue(this.text(name));
  }

  integer(name: FlagName, min: number, max: number): number {
    const value = Number(this.text(name));
    if (value < min || value > max)
      throw usage(`Invalid value ${value} for flag -${name}: must be from ${min} to ${max}`);
    return value;
  }

  address(name: FlagName): Ipv4 | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    if (!isIpText(text, 4))
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv4 address`);
    return parseIp(text, 4);
  }

  address6(name: FlagName): Ipv6 | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    if (!isIpText(text, 6))
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv6 address`);
    const address = parseIp(text, 6);
    if (isLinkLocal(address)) {
      throw usage(
        `Invalid value ${JSON.stringify(text)} for flag -${name}: a link-local address is known on its link only`,
      );
    }
    return address;
  }

  anyAddress(name: FlagName): Ip | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    try {
      return parseIp(text);
    } catch {
      throw usage(`Invalid value ${JSON.stringify(text)} for flag -${name}: write an IPv4 or IPv6 address`);
    }
  }
}

/** Each flag's values: the environment counts where the command line says nothing; an empty variable is none. */
export function valuesOf(
  flags: ParsedFlags,
  environment: Readonly<Record<string, string | undefined>>,
  warnings: string[],
): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>();
  for (const [name, given] of flags.given) {
    values.set(
      name,
      given.map((value) => withoutQuotes(name, `flag -${name}`, value, warnings)),
    );
  }
  for (const [name, spec] of Object.entries(FLAGS)) {
    const variable = environmentName(name);
    const written = environment[variable];
    if (written === undefined || written === '' || values.has(name)) continue;
    const value = withoutQuotes(name, `environment variable ${variable}`, written, warnings);
    try {
      checkValue(name, spec, value);
      values.set(name, [value]);
    } catch (error) {
      warnings.push(`Environment variable ${variable} is not used: ${messageOf(error)}`);
    }
  }
  return values;
}

/** Docker's --env-file and some unit files hand on the quotes that were meant for a shell. A password may have them. */
function withoutQuotes(name: string, where: string, value: string, warnings: string[]): string {
  const inner = /^\s*(["'])([\s\S]*)\1\s*$/.exec(value)?.[2];
  if (inner === undefined || inner.includes(',') || name === 'etcd-password') return value;
  warnings.push(`The quotes around the value of ${where} are not part of it: using ${inner}`);
  return inner;
}

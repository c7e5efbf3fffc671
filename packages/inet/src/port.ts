import { InetError } from './errors.ts';

declare const portBrand: unique symbol;

/** A UDP or TCP port from 1 to 65535. */
export type Port = number & { readonly [portBrand]: true };

export function parsePort(value: number | string): Port {
  const port = typeof value === 'string' && /^[1-9]\d{0,4}$/.test(value) ? Number(value) : value;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new InetError('INVALID_PORT', `Invalid port ${JSON.stringify(value)}: write a number from 1 to 65535`);
  }
  return port as Port;
}

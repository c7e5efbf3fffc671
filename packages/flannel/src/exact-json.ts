/**
 * JSON.parse() and JSON.stringify() that keep integers which a Number cannot hold: rates in bits per second are passed on to other
 * plugins, and runtimes write 2^64 - 1 for "no limit". Such a number becomes a text that begins with a character no JSON text can
 * hold unescaped, so that it is no number to whoever wants one, and is written as it was read.
 */
const MARK = '\u0000number:';
const LONG_NUMBER = /\d{16}/;
/** A string or a number; nothing else in a JSON text begins with a quote, a digit or a minus. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const MARKED = /"\\u0000number:([^"]*)"/g;

export function parseExactJson(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  JSON.parse(text); // what is no JSON must fail for its own reason
  return JSON.parse(text.replace(TOKEN, (token) => (isInexact(token) ? JSON.stringify(MARK + token) : token)));
}

export function stringifyExactJson(value: unknown, space?: number): string {
  return JSON.stringify(value, undefined, space).replace(MARKED, '$1');
}

function isInexact(token: string): boolean {
  return /^-?\d{16,}$/.test(token) && String(Number(token)) !== token;
}

/** Keys that a JSON text has more than once, which parsers pass over: the last one counts. Pure. */

/** Strings as a whole, so that what is in them is no structure. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

interface Level {
  /** Undefined in a list. */
  readonly keys: Map<string, string> | undefined;
  key: string;
}

/** Paths like `Backend.Port`, as written the last time, each once. To Go, keys that differ in letter case are one. `json` is valid. */
export function repeatedKeys(json: string): string[] {
  const repeated = new Map<string, string>();
  const levels: Level[] = [];
  const tokens = json.match(TOKEN) ?? [];
  for (const [at, token] of tokens.entries()) {
    if (token === '{') levels.push({ keys: new Map(), key: '' });
    else if (token === '[') levels.push({ keys: undefined, key: '' });
    else if (token === '}' || token === ']') levels.pop();
    const level = levels.at(-1);
    if (level?.keys === undefined || !token.startsWith('"') || tokens[at + 1] !== ':') continue;
    level.key = JSON.parse(token) as string;
    const path = levels.flatMap(({ key }) => (key === '' ? [] : [key])).join('.');
    const known = level.key.toLowerCase();
    if (level.keys.has(known)) repeated.set(path.toLowerCase(), path);
    level.keys.set(known, level.key);
  }
  return [...repeated.values()];
}

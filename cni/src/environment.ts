type Variables = Record<string, string | undefined>;

let own: Variables = process.env;

/** The variables that the runtime gave to this plugin: what it passes on to others. */
export function ownEnvironment(): Readonly<Variables> {
  return own;
}

/**
 * The executable starts with every variable's name changed, so that Bun obeys none of them (tools/build/guard-entry.ts). This puts the
 * names back, in the process's own list and in one where none has a meaning to Bun.
 */
export function restoreEnvironment(env: Variables = process.env): void {
  const restored: Variables = {};
  for (const name of Object.keys(env)) {
    const code = name.charCodeAt(0);
    const right = code < 0x40 ? String.fromCharCode(code | 0x40) + name.slice(1) : name;
    restored[right] = env[name];
    if (right === name) continue;
    delete env[name];
    env[right] = restored[right];
  }
  own = restored;
}

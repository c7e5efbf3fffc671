type Variables = Readonly<Record<string, string | undefined>>;

let own: Variables = {};

/** The variables that the runtime gave to this plugin: what it passes on to others. */
export function ownEnvironment(): Variables {
  return own;
}

/** Of the call that is answered now. */
export function useEnvironment(env: Variables): void {
  own = env;
}

/**
 * The executable starts with every variable's name changed, so that Bun obeys none of them (tools/build/launcher.ts). This puts the
 * names back, in the process's own list and in the returned one, where none has a meaning to Bun.
 */
export function restoreEnvironment(env: Record<string, string | undefined>): Variables {
  const restored: Record<string, string | undefined> = {};
  for (const name of Object.keys(env)) {
    const code = name.charCodeAt(0);
    const right = code < 0x40 ? String.fromCharCode(code | 0x40) + name.slice(1) : name;
    restored[right] = env[name];
    if (right === name) continue;
    delete env[name];
    env[right] = restored[right];
  }
  return restored;
}

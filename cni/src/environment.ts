/** The variables that the runtime gave to this plugin: what it passes on to others. */
export function ownEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

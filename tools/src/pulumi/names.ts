/** How commands name a stack to the user. */

/** The flags for a command shown to the user: the stack, unless it is the default one, and `more`. */
export function flag(stack: string, more = ''): string {
  const flags = [...(stack === 'local' ? [] : [`--stack ${stack}`]), ...(more === '' ? [] : [more])];
  return flags.length === 0 ? '' : ` -- ${flags.join(' ')}`;
}

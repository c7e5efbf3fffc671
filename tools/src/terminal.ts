/** Where output goes to a file or another program, lines may be this long. */
const WIDE = 120;

/** In columns. */
export function terminalWidth(): number {
  return process.stdout.columns ?? WIDE;
}

import { createInterface } from 'node:readline/promises';
import { ToolError } from '../setup/errors.mjs';

/** Asks on the terminal; without one, or at any answer but yes, it throws an error that says what to do. */
export async function confirm(question: string, yes: boolean, otherwise: string): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new ToolError('CONFIRM', `${question}. There is no terminal to ask: ${otherwise}`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question}. Go on? [y/N] `);
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new ToolError('CONFIRM', `Nothing was changed: ${otherwise}`);
  } finally {
    terminal.close();
  }
}

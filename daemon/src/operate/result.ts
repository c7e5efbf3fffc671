/** What a command that answers and ends has to say. */
export interface CommandResult {
  readonly exit: number;
  /** For stdout; ends with a newline unless it is empty. */
  readonly output: string;
  /** For stderr: one sentence, if there is something to say beside the output. */
  readonly sentence?: string;
}

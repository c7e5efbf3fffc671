/** The verifier's log, in the words of the program's source. Pure. */
import { type Disassembled, disassemble } from './disassemble.ts';
import type { EncodedProgram } from './encode.ts';
import { type RejectedPlace, VerifierError } from './errors.ts';

/** `12: (61) r1 = *(u32 *)(r1 +0)`, and since 5.15 also `12: R1=ctx() (61) ...` */
const INSTRUCTION = /^(\d+): .*\(([0-9a-f]{2})\) /;

/** What is said after the reason. */
const EPILOGUE =
  /^(processed \d+ insns|verification time|stack depth|max_states|peak_states|mark_precise|\s*$|from \d+ to \d+)/;

export function verifierError(name: string, program: EncodedProgram, log: string, cause: unknown): VerifierError {
  const lines = log.split('\n').map((line) => line.trimEnd());
  const said = lines.filter((line) => !EPILOGUE.test(line) && !INSTRUCTION.test(line));
  const reason = said.at(-1) ?? 'the verifier gave no reason';
  const last =
    lines.map((line) => INSTRUCTION.exec(line)?.[1]).findLast((place) => place !== undefined) ??
    /^unreachable insn (\d+)/m.exec(log)?.[1];
  const place = last === undefined ? undefined : placeOf(program, Number(last));
  return new VerifierError(name, reason.trim(), place, log, { cause });
}

export function placeOf({ bytes, labels }: EncodedProgram, place: number): RejectedPlace | undefined {
  const instruction = disassemble(bytes).find((line: Disassembled) => line.place === place);
  if (instruction === undefined) return undefined;
  const before = [...labels].filter(([, at]) => at <= place).sort(([, a], [, b]) => b - a)[0];
  const [label, at] = before ?? ['start', 0];
  return { at: place === at ? label : `${label}+${place - at}`, instruction: instruction.text };
}

/** Programs for people: each line with its label before it. */
export function listing({ bytes, labels }: EncodedProgram): string {
  const lines: string[] = [];
  for (const { place, text } of disassemble(bytes)) {
    for (const [label, at] of labels) if (at === place) lines.push(`${label}:`);
    lines.push(`${String(place).padStart(5)}: ${text}`);
  }
  return lines.join('\n');
}

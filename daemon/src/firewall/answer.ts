/** Whether a rule matches a packet of which not all is known. */
export type Answer = 'yes' | 'no' | 'maybe';

export function opposite(answer: Answer): Answer {
  return answer === 'maybe' ? 'maybe' : answer === 'yes' ? 'no' : 'yes';
}

export function answerOf(is: boolean): Answer {
  return is ? 'yes' : 'no';
}

/** A field of nft's JSON, whatever it is. */
export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** What Pulumi prints where it does not redraw a terminal: the few lines of it that a user wants to see. */

export interface Event {
  readonly kind: string;
  readonly name: string;
  readonly outcome: 'created' | 'updated' | 'replaced' | 'deleted';
}

/** A line like ` +  pulumi-nodejs:dynamic/local:Machine node-0 created (0.15s)`; undefined for any other. */
export function parseEvent(line: string): Event | undefined {
  const match = /^\s*[+~-]{1,2}\s+\S+:(\w+) (\S+) (created|updated|replaced|deleted)\b/.exec(line);
  if (match === null) return undefined;
  return { kind: match[1]!, name: match[2]!, outcome: match[3] as Event['outcome'] };
}

/** A line for the user when a machine is ready or gone; undefined for all that comes in between. */
export function describeEvent({ kind, name, outcome }: Event): string | undefined {
  if (kind === 'Machine') return outcome === 'deleted' ? `${name}: removed` : undefined;
  if (kind !== 'NodeSoftware' && kind !== 'EtcdMember') return undefined;
  return outcome === 'deleted' ? undefined : `${name.replace(/-(?:software|member)$/, '')}: ready`;
}

/** The section that says what went wrong, without stack traces; undefined if there is none. */
export function diagnosticsOf(log: string): string | undefined {
  const [, section] =
    /^Diagnostics:\n([\s\S]*?)(?=^(?:Resources|Outputs|Duration|Policies):|$(?![\s\S]))/m.exec(log) ?? [];
  const lines = (section ?? '').split('\n').filter((line) => line.trim() !== '' && !/^\s+at /.test(line));
  return lines.length === 0 ? undefined : lines.join('\n');
}

/** `3 created, 24 unchanged`; undefined if nothing was changed because it ended before. */
export function summaryOf(log: string): string | undefined {
  const [, section] = /^Resources:\n((?: +.*\n?)+)/m.exec(log) ?? [];
  const counts = (section ?? '')
    .split('\n')
    .flatMap((line) => /(\d+ (?:created|updated|replaced|deleted|unchanged))/.exec(line)?.[1] ?? []);
  return counts.length === 0 ? undefined : counts.join(', ');
}

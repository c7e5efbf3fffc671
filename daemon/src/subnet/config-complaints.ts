import type { Logger } from 'pino';
import type { ConfigTrouble, ReportConfig } from './manager.ts';

/** Why the network config that the source has is not taken: to the log once for each reason, and each time to who wants to know. */
export class ConfigComplaints {
  private last: string | undefined;

  /** `source`: where the config is, as fields of the log. */
  constructor(
    private readonly source: Readonly<Record<string, string>>,
    private readonly log: Logger,
    private readonly report: ReportConfig = () => {},
  ) {}

  /** `inForce`: whether there is an earlier one. */
  say(inForce: boolean, reason: string, trouble: ConfigTrouble): void {
    const what = inForce ? 'The changed network config has no effect' : 'Waiting for the network config';
    const line = `${what}: ${reason}`;
    if (line !== this.last) this.log.warn(this.source, line);
    this.last = line;
    this.report(trouble);
  }

  /** The present one is taken. */
  over(): void {
    this.last = undefined;
    this.report(undefined);
  }
}

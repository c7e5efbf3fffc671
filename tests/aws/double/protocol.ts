/** What the tests and the double say to each other, over the channel that Node.js gives a forked process. */

export type Operation =
  | 'checkConfig'
  | 'configure'
  | 'check'
  | 'diff'
  | 'create'
  | 'read'
  | 'update'
  | 'delete'
  | 'invoke'
  | 'refresh'
  /** A command on a machine, from when it is sent until its end is told. */
  | 'run';

/** A request of the CLI, in the order in which they came. */
export interface JournalEntry {
  /** Counts requests when they begin and when they end: what ended before another began has the smaller number. */
  readonly begin: number;
  end?: number;
  readonly operation: Operation;
  /** "aws:ec2/vpc:Vpc"; of an invoke, its token. */
  readonly type: string;
  /** The last part of the URN. */
  readonly name: string;
  readonly urn: string;
  readonly preview: boolean;
  id?: string;
  /** Secrets are shown as "[secret]". */
  readonly inputs?: Readonly<Record<string, unknown>>;
  error?: string;
  /** Of a diff: which properties demand a replacement. */
  replaces?: readonly string[];
}

/** Makes requests fail. */
export interface Fault {
  readonly operation: 'create' | 'update' | 'delete' | 'read' | 'run';
  readonly type: string;
  /** Only of the resource with this name. */
  readonly name?: string;
  readonly message: string;
  /** Which of the matching requests is the first that fails; 1 unless told. */
  readonly nth?: number;
  /** How many fail from there; 1 unless told. */
  readonly times?: number;
  /** The resource was made although the answer is an error. */
  readonly halfMade?: boolean;
}

/** Makes the next such request wait before anything is done. */
export interface Hold {
  readonly operation: Fault['operation'];
  readonly type: string;
  readonly seconds: number;
}

export interface ResourceView {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly id: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** Machines that AWS makes for a group: no resource of Pulumi's. */
export interface MachineView {
  readonly id: string;
  readonly group: string;
  readonly launchTemplateVersion: string;
  readonly address: string;
}

export interface Control {
  fail(fault: Fault): void;
  hold(hold: Hold): void;
  clearFaults(): void;
  journal(): readonly JournalEntry[];
  clearJournal(): void;
  resources(): readonly ResourceView[];
  machines(): readonly MachineView[];
  /** Removes a resource as somebody does by hand, who does not ask Pulumi. */
  vanish(urn: string): void;
  /** Changes inputs of a resource, likewise. */
  drift(urn: string, inputs: Readonly<Record<string, unknown>>): void;
  /** Amazon publishes a newer image for each architecture. */
  publishImages(): void;
  /** Machines that are launched with this in their user-data never get ready. */
  neverReady(text: string): void;
  /** An empty account again. */
  reset(): void;
}

export interface ControlRequest {
  readonly call: number;
  readonly method: keyof Control;
  readonly args: readonly unknown[];
}

export type ControlAnswer =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly error: string };

/** Sent once, when both providers listen. */
export interface Ready {
  readonly ready: true;
  /** The value of PULUMI_DEBUG_PROVIDERS. */
  readonly providers: string;
  /** Where the stand-in for the AWS CLI asks. */
  readonly cliPort: number;
}

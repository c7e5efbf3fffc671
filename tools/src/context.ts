import type { Context as SetUpContext } from '../setup/context.mjs';
import type { Options as ParsedOptions } from '../usage.mjs';

export type Context = Readonly<SetUpContext>;
export type Options = Readonly<ParsedOptions>;
export type Command = (context: Context, options: Options) => Promise<number>;

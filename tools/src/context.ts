import type { Options as ParsedOptions } from '../options.mjs';
import type { Context as SetUpContext } from '../setup/context.mjs';

export type Context = Readonly<SetUpContext>;
export type Options = Readonly<ParsedOptions>;
export type Command = (context: Context, options: Options) => Promise<number>;

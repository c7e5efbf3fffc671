// Put in by the build (`define`); a run from source has none.
declare const FLANNEL_TS_VERSION: string | undefined;

export const VERSION = typeof FLANNEL_TS_VERSION === 'string' ? FLANNEL_TS_VERSION : '0.1.0-source';

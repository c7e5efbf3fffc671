/**
 * Removes secrets from texts that leave the node: those that are known, wherever they stand, and what stands where secrets do, since
 * flannel writes its password into its log. Pure.
 */
const REMOVED = '[removed]';
/** Shorter ones would match half of a text, and their own places are known. */
const LEAST_LENGTH = 4;

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
/** `"PSK": "..."`, `etcdPassword:...`, `-etcd-password=...`, also in JSON inside of JSON. */
const NAMED =
  /((?:passw(?:or)?d|psk|pre-?shared-?key|private-?key|wireguardkey|secret|token)\\?["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;}]+)/gi;
const USER_OF_URL = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;

export function removeSecrets(text: string, known: readonly string[]): string {
  const spellings = known
    .filter((secret) => secret.length >= LEAST_LENGTH)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]);
  // The longest first: one may be a part of another.
  const sorted = [...new Set(spellings)].sort((a, b) => b.length - a.length);
  return sorted
    .reduce((rest, secret) => rest.replaceAll(secret, REMOVED), text)
    .replace(PRIVATE_KEY, REMOVED)
    .replace(NAMED, `$1${REMOVED}`)
    .replace(USER_OF_URL, `$1${REMOVED}@`);
}

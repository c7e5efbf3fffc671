// Plain JavaScript: by this file TypeScript is loaded.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

/** What cannot change a build: tests and what they read. */
const IGNORED = /(?:^|\/)(?:node_modules|dist|fixtures|__snapshots__)(?:\/|$)|\.test\.m?ts$/;

/** @param {string | Uint8Array} data */
export function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

/** @param {string} path */
export function sha256OfFile(path) {
  return sha256(readFileSync(path));
}

/**
 * All files at or below the given places, sorted, as paths relative to `root`. A place that does not exist has none.
 * @param {string} root
 * @param {readonly string[]} places relative to root
 * @returns {string[]}
 */
export function listInputs(root, places) {
  /** @type {string[]} */
  const files = [];
  /** @param {string} path */
  const visit = (path) => {
    const name = relative(root, path);
    if (IGNORED.test(name)) return;
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isDirectory()) for (const entry of readdirSync(path)) visit(join(path, entry));
    else if (stats?.isFile()) files.push(name);
  };
  for (const place of places) visit(join(root, place));
  return [...new Set(files)].sort();
}

/**
 * One hash of the names and contents of files.
 * @param {string} root
 * @param {readonly string[]} files relative to root
 */
export function hashFiles(root, files) {
  return sha256(files.map((file) => `${file}\0${sha256OfFile(join(root, file))}\n`).join(''));
}

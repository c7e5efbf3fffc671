#!/usr/bin/env node
// `npm run etcd-artifact`: what etcd's machines in a cloud run, into dist/etcd (docs/etcd.md).
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const USAGE = `Usage: npm run etcd-artifact -- [OPTION]...
  --from DIR|FILE   a directory with etcd and etcdctl, or a tarball of etcd's release (those found on PATH)
  --sha256 HASH     what the tarball's SHA256SUMS says; needed with a tarball
  --version VERSION of binaries that cannot be run here to be asked
  --output DIR      where to put it (dist/etcd)
`;

try {
  const { values } = parseArgs({
    options: {
      from: { type: 'string' },
      sha256: { type: 'string' },
      version: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
  } else {
    const { makeEtcdArtifact } = await import('./build/etcd.mjs');
    const { help: _, ...options } = values;
    const { file, version, architecture, sha256 } = await makeEtcdArtifact(root, options, process.env);
    process.stderr.write(`${file}: etcd ${version} for ${architecture}, sha256 ${sha256}\n`);
  }
} catch (error) {
  const { message, stack, code, exitCode } = /** @type {NodeJS.ErrnoException & {exitCode?: number}} */ (error);
  const isUsage = code?.startsWith('ERR_PARSE_ARGS') ?? false;
  process.stderr.write(`${code === undefined ? stack : message}\n${isUsage ? USAGE : ''}`);
  process.exitCode = isUsage ? 2 : (exitCode ?? 1);
}

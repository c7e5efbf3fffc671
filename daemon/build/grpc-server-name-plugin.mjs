/**
 * grpc-js names the server in its TLS handshake (SNI) even when it is reached by an IP address. RFC 6066 does not allow that:
 * Node warns, Bun refuses ("Setting the TLS ServerName to an IP address is not permitted"), and etcd's endpoints usually are
 * addresses. This plugin leaves the name out then; the certificate is checked against the address all the same, because the
 * `host` option stays.
 */
import { readFileSync } from 'node:fs';

/** The assignment, as grpc-js 1.x has it when the target name is not overridden. */
const ASSIGN = 'connectionOptions.servername = remoteHost;';

/** @returns {{ name: string, setup(build: any): void }} */
export function grpcServerNamePlugin() {
  return {
    name: 'grpc-server-name',
    setup(build) {
      build.onLoad(
        { filter: /[\\/]@grpc[\\/]grpc-js[\\/]build[\\/]src[\\/]channel-credentials\.js$/ },
        (/** @type {{ path: string }} */ file) => ({
          contents: withoutAddressAsName(readFileSync(file.path, 'utf8')),
          loader: 'js',
        }),
      );
    },
  };
}

/** @param {string} source of @grpc/grpc-js/build/src/channel-credentials.js */
export function withoutAddressAsName(source) {
  if (!source.includes(ASSIGN)) {
    throw new Error(
      'The module @grpc/grpc-js/build/src/channel-credentials.js sets no server name as expected: adapt grpc-server-name-plugin.mjs',
    );
  }
  return source.replace(ASSIGN, `if (require('net').isIP(remoteHost) === 0) ${ASSIGN}`);
}

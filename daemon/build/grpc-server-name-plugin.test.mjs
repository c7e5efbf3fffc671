import { readFileSync } from 'node:fs';
import path from 'node:path';
import { withoutAddressAsName } from './grpc-server-name-plugin.mjs';

const source = readFileSync(
  path.resolve('node_modules/@grpc/grpc-js/build/src/channel-credentials.js'), // its exports do not name it
  'utf8',
);

describe('withoutAddressAsName()', () => {
  test('names a server only by a name, in the installed grpc-js', () => {
    expect(withoutAddressAsName(source)).toContain(
      "if (require('net').isIP(remoteHost) === 0) connectionOptions.servername = remoteHost;",
    );
  });

  test('refuses a version it does not know', () => {
    expect(() => withoutAddressAsName('connectionOptions.servername = other;')).toThrow(
      'adapt grpc-server-name-plugin.mjs',
    );
  });
});

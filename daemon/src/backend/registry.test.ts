import { KNOWN_BACKENDS } from '@flannel-ts/flannel/backend-config';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { createBackend } from './registry.ts';

const fail = (): never => {
  throw new Error('an identity is asked for');
};

test.each(KNOWN_BACKENDS)('createBackend() makes %s, and asks for no identity before there is a lease', (type) => {
  const config = parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: type } }));
  expect(createBackend(config, { mac: fail, wireguardKey: fail }).type).toBe(type);
});

import { KNOWN_BACKENDS, AVAILABLE_BACKENDS as PREVIEWED_BACKENDS } from '@flannel-ts/flannel/backend-config';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { AVAILABLE_BACKENDS, createBackend } from './registry.ts';

const create = (type: string) => {
  const config = parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: type } }));
  return createBackend(config, { mac: () => fail('no identity is asked for'), wireguardKey: () => fail('none') });
};
function fail(message: string): never {
  throw new Error(message);
}

test('AVAILABLE_BACKENDS are those that the preview of a stack lets through', () => {
  expect(AVAILABLE_BACKENDS).toEqual(PREVIEWED_BACKENDS);
});

test.each(AVAILABLE_BACKENDS)('createBackend() makes %s, and asks for no identity before a lease is', (type) => {
  expect(create(type).type).toBe(type);
});

test.each(KNOWN_BACKENDS.filter((type) => !AVAILABLE_BACKENDS.includes(type)))(
  'createBackend() refuses %s with a sentence that says what to do',
  (type) => {
    expect(() => create(type)).toThrow(
      `Backend type ${type} is not available in this flanneld: set Backend.Type in the network config to ${AVAILABLE_BACKENDS.join(' or ')}`,
    );
  },
);

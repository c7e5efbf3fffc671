import { generatePresharedKey, generatePrivateKey, keyFromBytes, keyToBytes, publicKeyOf } from './key.ts';

const fromHex = (text: string): string => keyFromBytes(Buffer.from(text, 'hex'));

test('publicKeyOf() multiplies as RFC 7748, 6.1, says', () => {
  expect(publicKeyOf(fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'))).toBe(
    fromHex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'),
  );
});

test('generatePrivateKey() makes scalars of X25519, each time another one', () => {
  const keys = Array.from({ length: 50 }, generatePrivateKey);
  expect(new Set(keys).size).toBe(50);
  for (const key of keys) {
    const bytes = keyToBytes(key, 'private key');
    expect([bytes[0]! & 0x07, bytes[31]! & 0xc0]).toEqual([0, 0x40]);
    expect(keyToBytes(publicKeyOf(key), 'public key')).toHaveLength(32);
  }
});

test('generatePresharedKey() makes 32 random bytes', () => {
  const keys = [generatePresharedKey(), generatePresharedKey()];
  expect(keys[0]).not.toBe(keys[1]);
  expect(keyFromBytes(keyToBytes(keys[0]!, 'PSK'))).toBe(keys[0]);
});

test.each([
  '',
  'secret',
  'A'.repeat(44),
  `${'A'.repeat(42)}B=`, // the two bits to spare are set: decoders disagree about it
  ` ${'A'.repeat(43)}=`,
  `${'A'.repeat(43)}=\n`,
  `${'-'.repeat(43)}=`,
])('keyToBytes() refuses %j without quoting it', (key) => {
  let message = '';
  try {
    keyToBytes(key, 'PSK');
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toBe('The PSK is no WireGuard key: write 32 bytes in Base64, as wg genkey prints them');
});

import { parsePort } from './port.ts';

describe('port', () => {
  test('parsePort() accepts numbers and decimal text', () => {
    expect(parsePort(8285)).toBe(8285);
    expect(parsePort('65535')).toBe(65535);
  });

  test.each([0, -1, 65536, 1.5, Number.NaN, '', '0', '08285', '8285x', '1e3', '65536'])(
    'parsePort() refuses %j',
    (value) => {
      expect(() => parsePort(value)).toThrow('from 1 to 65535');
    },
  );
});

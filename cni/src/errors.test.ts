import { SystemError } from '@flannel-ts/linux/errors';
import { NetlinkError } from '@flannel-ts/rtnetlink/errors';
import { CniError, formatError, toCniError } from './errors.ts';

describe('toCniError()', () => {
  test.each([
    ['our own error', new CniError(100, 'x'), 100],
    ['a file that cannot be opened', Object.assign(new Error('x'), { code: 'EROFS', syscall: 'open' }), 5],
    ['a lock that cannot be taken', new SystemError('flock', 37), 5],
    ['no memory', new NetlinkError('ENOMEM', 'add veth x'), 11],
    ['a refusal of the kernel', new NetlinkError('EINVAL', 'add veth x'), 999],
    ['something else', 'text', 999],
  ])('gives %s its code', (_what, error, code) => {
    expect(toCniError(error).code).toBe(code);
  });
});

test('formatError() prints as Go does, with the version', () => {
  expect(formatError(new CniError(7, 'a "b"', 'c'), '1.0.0')).toBe(
    '{\n    "cniVersion": "1.0.0",\n    "code": 7,\n    "msg": "a \\"b\\"",\n    "details": "c"\n}',
  );
  expect(JSON.parse(formatError(new CniError(7, 'a'), '1.0.0'))).not.toHaveProperty('details');
});

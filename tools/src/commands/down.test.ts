import { isOfThisMachine } from './down.ts';
import { confirmation } from './up.ts';

describe('isOfThisMachine()', () => {
  test.each([
    ['', true],
    ['config:\n  flannel:nodes: "4"\n', true],
    ['config:\n  flannel:environment: local\n', true],
    ['config:\n  flannel:environment: aws\n', false],
    ['encryptionsalt: x\nconfig:\n  flannel:nodes: 2\n  flannel:environment: "aws"\n', false],
  ])('of %j is %s', (settings, own) => {
    expect(isOfThisMachine(settings)).toBe(own);
  });
});

describe('confirmation()', () => {
  test('asks about nothing in the local environment', () => {
    expect(confirmation(true, { yes: false })).toEqual(['--yes', '--skip-preview']);
  });

  test('asks about what costs money, and skips no preview', () => {
    expect(confirmation(false, { yes: false })).toEqual([]);
    expect(confirmation(false, { yes: true })).toEqual(['--yes']);
  });
});

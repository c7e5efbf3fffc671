import { holdsCapability } from './capabilities.ts';

test.each([
  ['000001ffffffffff', true],
  ['0000000000003000', true],
  ['0000000000002000', false],
  ['0000000000000000', false],
])('holdsCapability() of the effective set %s is %p for CAP_NET_ADMIN', (effective, expected) => {
  const status = `Name:\tflanneld\nCapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;
  expect(holdsCapability(status, 'CAP_NET_ADMIN')).toBe(expected);
});

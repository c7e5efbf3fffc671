import { bindingName, selfTest } from './selftest.ts';

test('selfTest() passes with koffi on Node', () => {
  expect(bindingName()).toBe('koffi');
  expect(selfTest()).toHaveLength(9);
});

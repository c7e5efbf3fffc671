import { BpfError } from './errors.ts';
import { Feature } from './features.ts';

const featureThat = (probe: () => void) =>
  new Feature(
    'maps of type hash',
    '3.19',
    probe,
    (error) => error instanceof BpfError && error.code === 'NOT_SUPPORTED',
  );

test('Feature tells what a kernel does not have from what could not be tested', () => {
  const absent = featureThat(() => {
    throw new BpfError('NOT_SUPPORTED', 'no such type');
  });
  expect(absent.support).toEqual({ state: 'not supported', why: 'no such type' });
  expect(absent.describe()).toMatch(/^maps of type hash: not supported by Linux \S+ \(it came with 3\.19\)$/);
  const denied = featureThat(() => {
    throw new BpfError('NOT_PERMITTED', 'Operation not permitted');
  });
  expect(denied.support.state).toBe('could not test');
  expect(denied.describe()).toBe('maps of type hash: could not be tested (Operation not permitted)');
});

test('Feature asks the kernel once', () => {
  const probe = jest.fn();
  const present = featureThat(probe);
  expect([present.support.state, present.support.state, present.describe()]).toEqual([
    'supported',
    'supported',
    'maps of type hash: supported',
  ]);
  expect(probe).toHaveBeenCalledTimes(1);
});

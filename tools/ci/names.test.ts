import fc from 'fast-check';
import { ciStackName, isCiStack, type Origin } from './names.ts';

const origin: Origin = { branch: 'feature/Faster_Engine', commit: 'c0ffee', environment: 'local' };
const origins = fc.record({
  branch: fc.oneof(fc.string({ unit: 'binary' }), fc.string({ minLength: 25, maxLength: 80 })),
  commit: fc.stringMatching(/^[0-9a-f]{7,40}$/),
  environment: fc.constantFrom('local', 'aws'),
});

describe('ciStackName()', () => {
  test('says the branch to people', () => {
    expect(ciStackName(origin)).toMatch(/^ci-feature-faster-eng-[0-9a-f]{8}$/);
    expect(ciStackName({ ...origin, branch: 'main' })).toMatch(/^ci-main-[0-9a-f]{8}$/);
    expect(ciStackName({ ...origin, branch: '功能' })).toMatch(/^ci-branch-[0-9a-f]{8}$/);
  });

  test('is a name that stacks may have, whatever the branch is called', () => {
    fc.assert(
      fc.property(origins, (any) => {
        const name = ciStackName(any);
        expect(name).toMatch(/^[a-z][a-z0-9-]{0,29}$/);
        expect(name).not.toMatch(/--|-$/);
        expect(isCiStack(name)).toBe(true);
      }),
    );
  });

  test('is the same for the same origin, and another for another', () => {
    fc.assert(
      fc.property(origins, origins, (a, b) => {
        expect(ciStackName({ ...a })).toBe(ciStackName(a));
        if (JSON.stringify(a) !== JSON.stringify(b)) expect(ciStackName(a)).not.toBe(ciStackName(b));
      }),
    );
  });

  test.each([
    ['the commit', { ...origin, commit: 'c0ffef' }],
    ['the environment', { ...origin, environment: 'aws' }],
    ['the case of a branch', { ...origin, branch: 'feature/faster_engine' }],
    ['a sign that is no letter', { ...origin, branch: 'feature-Faster-Engine' }],
    ['the end of a long branch', { ...origin, branch: 'feature/Faster_Engine-2' }],
  ])('tells apart by %s', (_, other) => {
    expect(ciStackName(other)).not.toBe(ciStackName(origin));
  });

  test('cannot be made the same by moving letters from branch to commit', () => {
    const split = (branch: string, commit: string) => ciStackName({ ...origin, branch, commit });
    expect(split('ab', 'c')).not.toBe(split('a', 'bc'));
  });
});

test.each(['local', 'dev', 'ci', 'prod', 'ci-main', 'e2e-ci-main-12345678', 'ci-12345678'])(
  'isCiStack() leaves %s alone',
  (name) => {
    expect(isCiStack(name)).toBe(false);
  },
);

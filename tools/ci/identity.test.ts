import { UsageError } from '../setup/errors.mjs';
import { type AskGit, identify } from './identity.ts';

const git: AskGit = (...args) => (args[0] === 'symbolic-ref' ? 'topic' : 'a1b2c3');
const noGit: AskGit = () => undefined;

describe('identify()', () => {
  test('believes the user first, then the CI system, then git', () => {
    const env = { GITHUB_HEAD_REF: '', GITHUB_REF_NAME: 'main', GITHUB_SHA: 'd00d' };
    expect(identify({ branch: 'mine', commit: 'beef' }, env, git)).toEqual({ branch: 'mine', commit: 'beef' });
    expect(identify({}, env, git)).toEqual({ branch: 'main', commit: 'd00d' });
    expect(identify({}, {}, git)).toEqual({ branch: 'topic', commit: 'a1b2c3' });
  });

  test("uses a pull request's own branch", () => {
    const env = { GITHUB_HEAD_REF: 'feature/x', GITHUB_REF_NAME: '12/merge', GITHUB_SHA: 'd00d' };
    expect(identify({}, env, noGit).branch).toBe('feature/x');
  });

  test('calls a checkout without a branch detached', () => {
    const detached: AskGit = (...args) => (args[0] === 'rev-parse' ? 'a1b2c3' : undefined);
    expect(identify({}, {}, detached)).toEqual({ branch: 'detached', commit: 'a1b2c3' });
  });

  test('says which flag helps when nobody knows', () => {
    expect(() => identify({ commit: 'beef' }, {}, noGit)).toThrow(UsageError);
    expect(() => identify({ commit: 'beef' }, {}, noGit)).toThrow('use --branch');
    expect(() => identify({ branch: 'mine' }, {}, noGit)).toThrow('use --commit');
  });
});

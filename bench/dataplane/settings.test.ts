import { settingsOf } from './settings.ts';

test('settingsOf() prefers variables to the quick values, and those to the full ones', () => {
  expect(settingsOf({})).toMatchObject({ mtus: [1500, 9001], rounds: 3, quick: false });
  expect(settingsOf({ BENCH_QUICK: '1', BENCH_ROUNDS: '2', BENCH_PATHS: 'fast,vxlan' })).toMatchObject({
    mtus: [1500],
    rounds: 2,
    paths: ['fast', 'vxlan'],
    quick: true,
  });
});

test("settingsOf() has flannel's own path where there is its program, and not otherwise", () => {
  expect(settingsOf({ FLANNEL_UPSTREAM: '' }).paths).not.toContain('flannel');
  expect(settingsOf({ FLANNEL_UPSTREAM: '/a/flannel' })).toMatchObject({ upstream: '/a/flannel' });
  expect(settingsOf({ FLANNEL_UPSTREAM: '/a/flannel' }).paths).toContain('flannel');
});

test.each([
  [{ BENCH_PARTS: 'tcp,ucp' }, 'BENCH_PARTS "ucp" is not known: use tcp, '],
  [{ BENCH_PATHS: 'fast,flannel' }, 'BENCH_PATHS "flannel" needs FLANNEL_UPSTREAM'],
  [{ BENCH_MTU: '1500,x' }, 'BENCH_MTU "x" is no whole number'],
  [{ BENCH_ROUNDS: '0' }, 'BENCH_ROUNDS "0" is no whole number'],
  [{ BENCH_SECONDS: '0.5' }, 'BENCH_SECONDS "0.5" is no whole number'],
  [{ BENCH_ENGINE: '[]' }, 'BENCH_ENGINE "[]" is no JSON object'],
  [{ BENCH_ENGINE: '{' }, 'BENCH_ENGINE "{" is no JSON object'],
])('settingsOf() refuses %j', (environment, message) => {
  expect(() => settingsOf(environment)).toThrow(message);
});

import { usableGo } from './go.mjs';

test('usableGo() accepts the version that the modules ask for, and newer ones', () => {
  expect(usableGo('go', 'go version go1.26.8 linux/amd64')).toEqual({ program: 'go', env: {} });
  expect(usableGo('go', 'go version go1.30rc1 linux/arm64')).toEqual({ program: 'go', env: {} });
});

test('usableGo() lets one that knows toolchains fetch a newer one', () => {
  expect(usableGo('go', 'go version go1.21.0 linux/amd64')).toEqual({ program: 'go', env: { GOTOOLCHAIN: 'auto' } });
});

test('usableGo() refuses older ones, and what is no Go', () => {
  expect(usableGo('go', 'go version go1.19.8 linux/amd64')).toBeUndefined();
  expect(usableGo('go', '')).toBeUndefined();
});

import { cacheDirectory } from './context.mjs';

test('cacheDirectory() follows FLANNEL_CACHE, XDG_CACHE_HOME and HOME, in this order', () => {
  expect(cacheDirectory({ FLANNEL_CACHE: '/a', XDG_CACHE_HOME: '/b', HOME: '/c' })).toBe('/a');
  expect(cacheDirectory({ XDG_CACHE_HOME: '/b', HOME: '/c' })).toBe('/b/flannel-ts');
  expect(cacheDirectory({ HOME: '/c' })).toBe('/c/.cache/flannel-ts');
});

test('cacheDirectory() ignores empty and relative values, as the XDG specification says', () => {
  expect(cacheDirectory({ FLANNEL_CACHE: '', XDG_CACHE_HOME: 'relative', HOME: '/c' })).toBe('/c/.cache/flannel-ts');
});

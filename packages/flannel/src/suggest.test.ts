import { editDistance, nearest, suggestion } from './suggest.ts';

const KNOWN = ['nodes', 'vpcCidr', 'podCidr', 'backend', 'nodeMode'];

test.each([
  ['nodez', 'nodes'],
  ['vpcCIDR', 'vpcCidr'],
  ['Nodes', 'nodes'],
  ['ndoes', 'nodes'],
  ['podcdir', 'podCidr'],
  ['backends', 'backend'],
  ['kubernetes', undefined],
  ['', undefined],
])('nearest() to "%s" is %s', (name, expected) => {
  expect(nearest(name, KNOWN)).toBe(expected);
});

test('editDistance() counts a swap of two letters once', () => {
  expect(editDistance('ndoes', 'nodes')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('kitten', 'sitting')).toBe(3);
});

test('suggestion() lists what there is if nothing is near', () => {
  expect(suggestion('kubernetes', ['nodes', 'backend'])).toBe('use one of backend, nodes');
  expect(suggestion('nodez', KNOWN)).toBe('did you mean "nodes"?');
});

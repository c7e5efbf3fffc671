import { restoreEnvironment } from './environment.ts';

test('restoreEnvironment() puts back the first letter of each name, and leaves what was not changed', () => {
  const env = { '\x03NI_COMMAND': 'ADD', '\x1fx': '1', '!b': 'c=d', PATH: '/bin' };
  const restored = restoreEnvironment(env);
  const wanted = { CNI_COMMAND: 'ADD', _x: '1', ab: 'c=d', PATH: '/bin' };
  expect([env, restored]).toEqual([wanted, wanted]);
});

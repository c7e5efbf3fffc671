import { SocketDrops } from './socket-drops.ts';

function drops(...answers: (number | Error)[]): SocketDrops {
  return new SocketDrops(7, () => {
    const next = answers.shift();
    if (typeof next !== 'number') throw next;
    return next;
  });
}

test('sample() begins at 0, whatever the socket dropped before, and goes on where the kernel begins anew', () => {
  const tested = drops(2 ** 32 - 5, 2 ** 32 - 3, 4, 4);
  expect([tested.total, tested.sample(), tested.sample(), tested.sample()]).toEqual([0, 2, 9, 9]);
});

test('sample() keeps the last number when the kernel gives none', () => {
  const tested = drops(1, 5, new Error('EBADF'), 6);
  expect([tested.sample(), tested.sample(), tested.sample(), tested.total]).toEqual([4, 4, 5, 5]);
  expect(drops(new Error('ENOPROTOOPT'), new Error('ENOPROTOOPT')).sample()).toBe(0);
});

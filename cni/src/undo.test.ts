import { Undo } from './undo.ts';

test('Undo.run() goes backwards, past what fails, once', () => {
  const done: string[] = [];
  const undo = new Undo();
  undo.push(() => void done.push('first'));
  undo.push(() => {
    throw new Error('no');
  });
  undo.push(() => void done.push('last'));
  expect(undo.run()).toEqual(['no']);
  expect(done).toEqual(['last', 'first']);
  expect(undo.run()).toEqual([]);
});

test('Undo.run() leaves what is only for a clean end when something failed', () => {
  const done: string[] = [];
  const undo = new Undo();
  undo.pushIfClean(() => void done.push('file'));
  undo.push(() => {
    throw new Error('no');
  });
  undo.pushIfClean(() => void done.push('newer'));
  expect(undo.run()).toEqual(['no']);
  expect(done).toEqual(['newer']);
});

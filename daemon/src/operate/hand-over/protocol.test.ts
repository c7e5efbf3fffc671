import { type Asked, handOverSocketOf, Lines, line } from './protocol.ts';

test('handOverSocketOf() is beside the subnet file', () => {
  expect(handOverSocketOf('/run/flannel/subnet.env')).toBe('/run/flannel/subnet.handover');
  expect(handOverSocketOf('/run/other')).toBe('/run/other.handover');
});

test('Lines gives messages whole, however they come, and passes over what is none', () => {
  const lines = new Lines<Asked>();
  const text = `${line({ take: '/a' })}nonsense\n7\n${line({ pause: true })}{"tak`;
  const taken = [...text].flatMap((letter) => lines.take(letter));
  expect(taken).toEqual([{ take: '/a' }, { pause: true }]);
  expect(lines.take('en":true}\n{"end":true}\n')).toEqual([{ taken: true }, { end: true }]);
});

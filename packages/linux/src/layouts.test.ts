import { groSegmentSize, setIovec, setMessage, setSegmentSize } from './layouts.ts';

const memory = () => {
  const words = new Uint32Array(32);
  return { words, view: new DataView(words.buffer) };
};

test('setIovec() writes addresses of 47 bits exactly', () => {
  const { words, view } = memory();
  setIovec(words, 16, 0x7fff_ffff_fff8, 65507);
  expect(view.getBigUint64(16, true)).toBe(0x7fff_ffff_fff8n);
  expect(view.getBigUint64(24, true)).toBe(65507n);
  expect([words[3], words[8]]).toEqual([0, 0]);
});

test('setMessage() puts every field where struct msghdr has it', () => {
  const { words, view } = memory();
  words.fill(0xffffffff);
  setMessage(words, 8, { name: 1, nameLength: 2, iovecs: 3, iovecCount: 4, control: 5, controlLength: 6 });
  expect([8, 24, 32, 40, 48].map((at) => view.getBigUint64(at, true))).toEqual([1n, 3n, 4n, 5n, 6n]);
  expect([view.getUint32(16, true), view.getUint32(56, true)]).toEqual([2, 0]);
});

test('setSegmentSize() writes cmsg_len without the padding', () => {
  const { words, view } = memory();
  setSegmentSize(words, 0, 1472);
  expect(view.getBigUint64(0, true)).toBe(18n);
  expect([8, 12].map((at) => view.getInt32(at, true))).toEqual([17, 103]);
  expect(view.getUint16(16, true)).toBe(1472);
});

test('groSegmentSize() is 0 without a control message of UDP_GRO', () => {
  const { words } = memory();
  setMessage(words, 0, { name: 0, nameLength: 0, iovecs: 0, iovecCount: 0, control: 0, controlLength: 0 });
  words.set([20, 0, 17, 104, 1200], 16);
  expect(groSegmentSize(words, 0, 64)).toBe(0);
  words[10] = 24;
  expect(groSegmentSize(words, 0, 64)).toBe(1200);
  words[19] = 103;
  expect(groSegmentSize(words, 0, 64)).toBe(0);
});

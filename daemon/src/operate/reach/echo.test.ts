import { decodeAnswer, encodeRequest } from './echo.ts';

describe('echo messages', () => {
  test('encodeRequest() makes a message with the right checksum, as long as asked for', () => {
    const bytes = encodeRequest(4, { id: 0x1234, sequence: 7 }, 64);
    expect(bytes).toHaveLength(44);
    expect([...bytes.subarray(0, 8)]).toEqual([8, 0, 0xe5, 0xc4, 0x12, 0x34, 0, 7]);
    expect(encodeRequest(6, { id: 1, sequence: 2 }, 1472)).toHaveLength(1432);
    expect([...encodeRequest(6, { id: 1, sequence: 2 }, 64).subarray(0, 8)]).toEqual([128, 0, 0, 0, 0, 1, 0, 2]);
  });

  test('decodeAnswer() reads what a raw socket gives, and nothing else', () => {
    const reply = [0, 0, 0, 0, 0x12, 0x34, 0, 7];
    const header = [0x46, ...new Array<number>(23).fill(0)]; // with an option
    expect(decodeAnswer(4, Uint8Array.from([...header, ...reply]))).toEqual({
      id: 0x1234,
      sequence: 7,
      unreachable: false,
    });
    expect(decodeAnswer(6, Uint8Array.from([129, ...reply.slice(1)]))).toEqual({
      id: 0x1234,
      sequence: 7,
      unreachable: false,
    });
    expect(decodeAnswer(6, Uint8Array.from([128, ...reply.slice(1)]))).toBeUndefined();
    expect(decodeAnswer(4, Uint8Array.from([...header, ...reply.slice(0, 7)]))).toBeUndefined();
    expect(decodeAnswer(4, new Uint8Array(0))).toBeUndefined();
  });

  test('decodeAnswer() reads which question nobody answers, and leaves out that a packet was too big', () => {
    const request = [8, 0, 0, 0, 0x12, 0x34, 0, 7];
    const ip = (protocol: number) => [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, ...new Array<number>(10).fill(0)];
    const error = (code: number, protocol: number) =>
      Uint8Array.from([...ip(1), 3, code, 0, 0, 0, 0, 0, 0, ...ip(protocol), ...request]);
    expect(decodeAnswer(4, error(1, 1))).toEqual({ id: 0x1234, sequence: 7, unreachable: true });
    expect(decodeAnswer(4, error(4, 1))).toBeUndefined();
    expect(decodeAnswer(4, error(1, 17))).toBeUndefined();
    const quoted6 = [0x60, 0, 0, 0, 0, 8, 58, 64, ...new Array<number>(32).fill(0), 128, ...request.slice(1)];
    expect(decodeAnswer(6, Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 0, ...quoted6]))).toEqual({
      id: 0x1234,
      sequence: 7,
      unreachable: true,
    });
  });
});

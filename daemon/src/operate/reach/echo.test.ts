import { decodeReply, encodeRequest } from './echo.ts';

describe('echo messages', () => {
  test('encodeRequest() makes a message with the right checksum, as long as asked for', () => {
    const bytes = encodeRequest(4, { id: 0x1234, sequence: 7 }, 64);
    expect(bytes).toHaveLength(44);
    expect([...bytes.subarray(0, 8)]).toEqual([8, 0, 0xe5, 0xc4, 0x12, 0x34, 0, 7]);
    expect(encodeRequest(6, { id: 1, sequence: 2 }, 1472)).toHaveLength(1432);
    expect([...encodeRequest(6, { id: 1, sequence: 2 }, 64).subarray(0, 8)]).toEqual([128, 0, 0, 0, 0, 1, 0, 2]);
  });

  test('decodeReply() reads what a raw socket gives, and nothing else', () => {
    const reply = [0, 0, 0, 0, 0x12, 0x34, 0, 7];
    const header = [0x46, ...new Array<number>(23).fill(0)]; // with an option
    expect(decodeReply(4, Uint8Array.from([...header, ...reply]))).toEqual({ id: 0x1234, sequence: 7 });
    expect(decodeReply(6, Uint8Array.from([129, ...reply.slice(1)]))).toEqual({ id: 0x1234, sequence: 7 });
    expect(decodeReply(6, Uint8Array.from([128, ...reply.slice(1)]))).toBeUndefined();
    expect(decodeReply(4, Uint8Array.from([...header, ...reply.slice(0, 7)]))).toBeUndefined();
    expect(decodeReply(4, new Uint8Array(0))).toBeUndefined();
  });
});

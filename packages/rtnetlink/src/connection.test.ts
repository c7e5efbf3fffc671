import { fromHex, type Script, SUCCESS, scriptedTransport } from '../testing/scripted-transport.ts';
import { Netlink } from './connection.ts';
import {
  encodeMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from './message.ts';

const DONE = { type: NLMSG_DONE, flags: 2, payload: new Uint8Array(4) };
const ITEM = { type: 16, flags: 2, payload: fromHex('01020304') };
const REQUEST = { type: 18, parts: [fromHex('0a0b'), fromHex('0c0d')], operation: 'list links' };

function refusal(errno: number, type = NLMSG_ERROR) {
  const payload = new Uint8Array(20);
  new DataView(payload.buffer).setInt32(0, -errno, true);
  return { type, payload };
}

function connect(script: Script) {
  const transport = scriptedTransport(script);
  const pauses: number[] = [];
  return { transport, pauses, nl: new Netlink(transport, (ms) => void pauses.push(ms)) };
}

describe('Netlink.request()', () => {
  test('sends flags and parts, and returns what comes before the acknowledgement', () => {
    const { nl, transport } = connect(() => [[{ ...ITEM, flags: 0 }], [SUCCESS]]);
    const replies = nl.request({ ...REQUEST, flags: 0x400 });
    expect(replies.map((reply) => reply.type)).toEqual([16]);
    expect(transport.requests[0]).toMatchObject({ type: 18, flags: NLM_F_REQUEST | NLM_F_ACK | 0x400, seq: 1 });
    expect([...transport.requests[0]!.payload]).toEqual([0x0a, 0x0b, 0x0c, 0x0d]);
  });

  test('accepts only answers to its own sequence number', () => {
    const { nl, transport } = connect(() => [[SUCCESS]]);
    const stale = encodeMessage({ type: NLMSG_ERROR, flags: 0, seq: 99, pid: 0, payload: refusal(17).payload });
    transport.inject({ bytes: stale, sender: 0 });
    expect(nl.request(REQUEST)).toEqual([]);
    nl.request(REQUEST);
    expect(transport.requests.map((request) => request.seq)).toEqual([1, 2]);
  });

  test('accepts only answers of the kernel', () => {
    const { nl, transport } = connect(() => [[SUCCESS]]);
    const forged = encodeMessage({ type: NLMSG_ERROR, flags: 0, seq: 1, pid: 0, payload: refusal(17).payload });
    transport.inject({ bytes: forged, sender: 4242 });
    expect(nl.request(REQUEST)).toEqual([]);
  });

  test('throws with the operation, the text for the number, and the code', () => {
    const { nl } = connect(() => [[refusal(19)]]);
    expect(() => nl.request({ ...REQUEST, operation: 'delete link 99' })).toThrow(
      expect.objectContaining({
        code: 'ENODEV',
        errno: 19,
        extack: undefined,
        operation: 'delete link 99',
        message: 'Cannot delete link 99: No such device (ENODEV)',
      }),
    );
  });

  test('names an attribute that the kernel misses, when it gives no text', () => {
    const payload = fromHex('eaffffff 10000000 1200 0500 01000000 00000000 0800 0500 03000000');
    const { nl } = connect(() => [[{ type: NLMSG_ERROR, flags: 0x300, payload }]]);
    expect(() => nl.request(REQUEST)).toThrow('Cannot list links: attribute 3 is missing in the request (EINVAL)');
  });

  test('throws once closed, and closes once', () => {
    const { nl, transport } = connect(() => [[SUCCESS]]);
    nl.close();
    expect(transport.closed).toBe(true);
    expect(() => nl.request(REQUEST)).toThrow('Cannot list links: the netlink connection is closed (EBADF)');
    expect(() => nl.close()).not.toThrow();
  });
});

describe('Netlink.requestAll()', () => {
  const requests = (count: number) => Array.from({ length: count }, (_, n) => ({ ...REQUEST, operation: `add ${n}` }));

  test('asks for an acknowledgement of the last one only, and has every refusal in its place', () => {
    const { nl, transport } = connect(({ seq, flags }) => {
      if (seq === 2) return [[refusal(17)]];
      return (flags & NLM_F_ACK) === 0 ? [] : [[SUCCESS]];
    });
    const refusals = nl.requestAll(requests(4));
    expect(refusals.map((error) => error?.message)).toEqual([
      undefined,
      'Cannot add 1: File exists (EEXIST)',
      undefined,
      undefined,
    ]);
    expect(transport.requests.map(({ flags }) => (flags & NLM_F_ACK) !== 0)).toEqual([false, false, false, true]);
  });

  test('ends with a refusal of the last one, and reads nothing for no requests', () => {
    const { nl } = connect(({ seq }) => (seq === 2 ? [[refusal(19)]] : []));
    expect(nl.requestAll(requests(2)).map((error) => error?.code)).toEqual([undefined, 'ENODEV']);
    expect(nl.requestAll([])).toEqual([]);
  });

  test('sends no more at once than the replies to them fit into a buffer', () => {
    const { nl, transport } = connect(({ flags }) => ((flags & NLM_F_ACK) === 0 ? [] : [[SUCCESS]]));
    const sent: number[] = [];
    const send = transport.send;
    transport.send = (bytes) => {
      const before = transport.requests.length;
      send(bytes);
      sent.push(transport.requests.length - before);
    };
    expect(nl.requestAll(requests(130))).toHaveLength(130);
    expect(sent).toEqual([64, 64, 2]);
  });
});

describe('Netlink.dump()', () => {
  test('collects several datagrams up to the end', () => {
    const { nl, transport } = connect(() => [[ITEM, ITEM], [ITEM], [DONE]]);
    expect(nl.dump(REQUEST)).toHaveLength(3);
    expect(transport.requests[0]?.flags).toBe(NLM_F_REQUEST | NLM_F_DUMP);
  });

  test('repeats an interrupted dump, after reading it to the end', () => {
    const { nl, transport, pauses } = connect((_, count) =>
      count < 3 ? [[ITEM, { ...ITEM, flags: 2 | NLM_F_DUMP_INTR }], [ITEM], [DONE]] : [[ITEM], [DONE]],
    );
    expect(nl.dump(REQUEST)).toHaveLength(1);
    expect(transport.requests).toHaveLength(3);
    expect(pauses).toEqual([1, 2]);
  });

  test('sees the interruption in the last message too', () => {
    const { nl, transport } = connect((_, count) =>
      count < 2 ? [[ITEM], [{ ...DONE, flags: 2 | NLM_F_DUMP_INTR }]] : [[ITEM], [DONE]],
    );
    expect(nl.dump(REQUEST)).toHaveLength(1);
    expect(transport.requests).toHaveLength(2);
  });

  test('gives up after a bound, with pauses that do not grow for ever', () => {
    const { nl, pauses } = connect(() => [[{ ...ITEM, flags: 2 | NLM_F_DUMP_INTR }, DONE]]);
    expect(() => nl.dump(REQUEST)).toThrow(
      'Cannot list links: the list changed while it was read, 30 times in a row (EINTR)',
    );
    expect(pauses).toHaveLength(30);
    expect(Math.max(...pauses)).toBe(50);
  });

  test('throws the error in the last message', () => {
    const { nl } = connect(() => [[ITEM], [refusal(19, NLMSG_DONE)]]);
    expect(() => nl.dump(REQUEST)).toThrow('Cannot list links: No such device (ENODEV)');
  });

  test('throws the error that comes instead of a list', () => {
    const { nl } = connect(() => [[refusal(22)]]);
    expect(() => nl.dump(REQUEST)).toThrow('Cannot list links: Invalid argument (EINVAL)');
  });

  test('throws when the kernel reports an overrun', () => {
    const { nl } = connect(() => [[{ type: 4 }]]);
    expect(() => nl.dump(REQUEST)).toThrow('Cannot list links: the kernel lost a part of the reply (ENOBUFS)');
  });
});

import {
  add,
  after,
  at,
  atomicAdd,
  call,
  clear,
  constant,
  exit,
  jump,
  jumpIf,
  jumpIf32,
  label,
  load,
  mapPointer,
  mov,
  mov32,
  negate,
  networkOrder,
  pointerTo,
  returns,
  rsh32,
  store,
} from './assembler.ts';
import { disassemble } from './disassemble.ts';
import { encode, mapsOf } from './encode.ts';
import { CONDITIONS, type Code, OPERATIONS } from './instruction.ts';
import { stackSlots } from './stack.ts';

const hex = (code: Code, maps?: ReadonlyMap<string, number>) => Buffer.from(encode(code, maps).bytes).toString('hex');
const texts = (code: Code) => disassemble(encode(code, new Map([['m', 7]])).bytes).map(({ text }) => text);

test.each<readonly [Code, string]>([
  // As clang encodes the same lines.
  [mov('r0', 0), 'b700000000000000'],
  [mov('r6', 'r1'), 'bf16000000000000'],
  [mov32('r2', -1), 'b4020000ffffffff'],
  [add('r2', -16), '07020000f0ffffff'],
  [load('u32', 'r2', at('r1', 76)), '61124c0000000000'],
  [load('u8', 'r3', at('r2', 9)), '7123090000000000'],
  [store('u64', at('r10', -8), 'r1'), '7b1af8ff00000000'],
  [store('u32', at('r10', -4), 5), '620afcff05000000'],
  [atomicAdd('u64', at('r0'), 'r1'), 'db10000000000000'],
  [networkOrder('r1', 16), 'dc01000010000000'],
  [negate('r1'), '8701000000000000'],
  [call('map_lookup_elem'), '8500000001000000'],
  [exit(), '9500000000000000'],
  [constant('r1', 0x1122334455667788n), '18010000887766550000000044332211'],
])('encode() gives what other assemblers give: %#', (code, expected) => {
  expect(hex(code)).toBe(expected);
});

test('encode() puts the descriptor of a map into both halves of a constant', () => {
  expect(hex(mapPointer('r1', 'm'), new Map([['m', 7]]))).toBe('18110000070000000000000000000000');
  expect(mapsOf([mapPointer('r1', 'b'), mapPointer('r2', 'a'), mapPointer('r1', 'b')])).toEqual(['b', 'a']);
});

test('encode() counts jumps from the next instruction, over constants that take two', () => {
  const code = [label('top'), jumpIf('r1', 'eq', 0, 'end'), constant('r2', 1n), jump('top'), label('end'), exit()];
  expect(texts(code)).toEqual(['if r1 == 0 goto +3', 'r2 = 0x1 ll', 'goto -4', 'exit']);
  expect([...encode(code).labels]).toEqual([
    ['top', 0],
    ['end', 4],
  ]);
});

test.each<readonly [string, Code, string]>([
  ['a label that is nowhere', jump('x'), 'There is no label x'],
  ['a label twice', [label('x'), label('x')], 'Label x is there twice'],
  ['a map that is not given', mapPointer('r1', 'x'), 'There is no map x'],
  ['a number that is too large', mov('r1', 2 ** 33), '8589934592 does not fit into an instruction'],
  ['a fraction', mov('r1', 0.5), '0.5 does not fit into an instruction'],
  ['an offset that is too large', load('u8', 'r1', at('r2', 40000)), 'Offset 40000 does not fit'],
])('encode() refuses %s', (_, code, message) => {
  expect(() => encode(code)).toThrow(message);
});

test('disassemble() writes each operation and condition as the verifier does', () => {
  const operations = OPERATIONS.map(
    (operation) => ({ kind: 'alu', operation, bits: 64, to: 'r1', value: 'r2' }) as const,
  );
  expect(texts(operations)).toEqual(
    ['+=', '-=', '*=', '/=', '|=', '&=', '<<=', '>>=', '%=', '^=', '=', 's>>='].map((sign) => `r1 ${sign} r2`),
  );
  const jumps = CONDITIONS.map((condition) => jumpIf('r1', condition, 5, 'end'));
  expect(texts([jumps, label('end')]).map((text) => text.split(' ')[2])).toEqual([
    '==',
    '!=',
    '>',
    '>=',
    '<',
    '<=',
    '&',
    's>',
    's>=',
    's<',
    's<=',
  ]);
});

test('disassemble() reads loads, stores, halves, calls and constants', () => {
  const code = [
    load('u16', 'r3', at('r2', 12)),
    store('u8', at('r10', -1), 7),
    store('u32', at('r2', 4), 'r3'),
    atomicAdd('u32', at('r2', 4), 'r3'),
    rsh32('r3', 16),
    jumpIf32('r3', 'ne', 'r4', 'end'),
    networkOrder('r3', 32),
    mapPointer('r1', 'm'),
    call('redirect_neigh'),
    label('end'),
    returns(-1),
  ];
  expect(texts(code)).toEqual([
    'r3 = *(u16 *)(r2 +12)',
    '*(u8 *)(r10 -1) = 7',
    '*(u32 *)(r2 +4) = r3',
    'lock *(u32 *)(r2 +4) += r3',
    'w3 >>= 16',
    'if w3 != w4 goto +4',
    'r3 = be32 r3',
    'r1 = map[fd:7]',
    'call bpf_redirect_neigh#152',
    'r0 = -1',
    'exit',
  ]);
});

test('disassemble() does not stumble over what it does not know', () => {
  expect(disassemble(Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0))).toEqual([
    { place: 0, text: 'unknown instruction 0xff' },
  ]);
  expect(disassemble(Uint8Array.of(0x18, 0, 0, 0, 1, 0, 0, 0))).toEqual([{ place: 0, text: 'r0 = 0x1 ll' }]);
  expect(disassemble(new Uint8Array(7))).toEqual([]);
});

test('stackSlots() gives each name a place of its own below r10, and refuses more than there is', () => {
  const slots = stackSlots({ key: 4, header: 28 });
  expect(slots).toEqual({ key: at('r10', -8), header: at('r10', -40) });
  expect(texts(pointerTo('r2', after(slots.header, 4)))).toEqual(['r2 = r10', 'r2 += -36']);
  expect(() => stackSlots({ a: 500, b: 16 })).toThrow('The slots take 520 bytes, the stack has 512');
});

test('clear() writes whole words where they are aligned', () => {
  expect(texts(clear(at('r10', -28), 28))).toEqual([
    '*(u32 *)(r10 -28) = 0',
    '*(u64 *)(r10 -24) = 0',
    '*(u64 *)(r10 -16) = 0',
    '*(u64 *)(r10 -8) = 0',
  ]);
});

import { at, exit, label, load, mov } from './assembler.ts';
import { encode } from './encode.ts';
import { listing, verifierError } from './verifier-log.ts';

const program = encode([
  mov('r0', 0),
  label('parse'),
  load('u32', 'r2', at('r1', 76)),
  load('u8', 'r3', at('r2')),
  exit(),
]);

test.each([
  [
    'Linux 6.18',
    `0: R1=ctx() R10=fp0
0: (b7) r0 = 0                        ; R0_w=0
1: (61) r2 = *(u32 *)(r1 +76)         ; R1=ctx() R2_w=pkt(r=0)
2: (71) r3 = *(u8 *)(r2 +0)
invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)
R2 offset is outside of the packet
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`,
  ],
  [
    'Linux 5.10',
    `0: (b7) r0 = 0
1: (61) r2 = *(u32 *)(r1 +76)
2: (71) r3 = *(u8 *)(r2 +0)
R2 offset is outside of the packet
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`,
  ],
])('verifierError() names the label, the instruction and the reason in the log of %s', (_, log) => {
  const error = verifierError('example', program, log, undefined);
  expect(error.message).toBe(
    'The kernel rejects program example at parse+1 (r3 = *(u8 *)(r2 +0)): R2 offset is outside of the packet',
  );
  expect(error).toMatchObject({ code: 'REJECTED', place: { at: 'parse+1' }, log });
});

test('verifierError() has the reason alone where the log names no instruction', () => {
  const log = (reason: string) => `${reason}\nprocessed 0 insns (limit 1000000)\n`;
  const error = verifierError('example', program, log('last insn is not an exit or jmp'), undefined);
  expect(error.message).toBe('The kernel rejects program example: last insn is not an exit or jmp');
  expect(verifierError('example', program, log('unreachable insn 3'), undefined).place?.at).toBe('parse+2');
  expect(verifierError('example', program, '', undefined).reason).toBe('the verifier gave no reason');
});

test('listing() shows labels before their instructions', () => {
  expect(listing(program).split('\n').slice(0, 3)).toEqual(['    0: r0 = 0', 'parse:', '    1: r2 = *(u32 *)(r1 +76)']);
});

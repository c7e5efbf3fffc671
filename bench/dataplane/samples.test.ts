import { copies, parseSamples, workOf } from './samples.ts';

const TEXT = `
engine  4242 
\tffffffff81a00010 _copy_to_iter ([kernel.kallsyms])
\tffffffff81a00020 tun_do_read ([kernel.kallsyms])
\t    7f0011223344 [unknown] (/tmp/program)

engine  4242 
\t    7f0011223344 [unknown] (/tmp/program)

two words    17 
\tffffffff81a00030 veth_xmit
\tffffffff81a00040 net_rx_action
\tffffffff81a00050 udp_sendmsg
\tffffffff81a00060 __sys_sendmmsg
`;

test('parseSamples() reads threads with spaces in their name, and frames of the kernel only', () => {
  expect(parseSamples(TEXT)).toEqual([
    { thread: 'engine', pid: 4242, kernel: ['_copy_to_iter', 'tun_do_read'] },
    { thread: 'engine', pid: 4242, kernel: [] },
    { thread: 'two words', pid: 17, kernel: ['veth_xmit', 'net_rx_action', 'udp_sendmsg', '__sys_sendmmsg'] },
  ]);
});

test('workOf() asks the innermost frame that says something', () => {
  expect(parseSamples(TEXT).map(workOf)).toEqual([
    'read from the device',
    'user: JavaScript and WebAssembly',
    'kernel: packets received in softirq',
  ]);
  expect(workOf({ thread: '', pid: 1, kernel: ['schedule'] })).toBe('kernel: other (entry, scheduling)');
});

test('copies() is true where a copy is at the top', () => {
  expect(parseSamples(TEXT).map(copies)).toEqual([true, false, false]);
});

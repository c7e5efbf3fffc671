import { parseGoRegExp } from './go-regexp.ts';

test.each([
  ['(?i)ETH0', ['eth0', 'Eth0'], ['wlan0']],
  ['(?is)^a.b$', ['A\nB'], ['ab']],
  ['^10\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}$$', ['10.1.2.3'], ['110.1.2.3', '10.1.2.3.4']],
  ['\\Aeth[[:digit:]]+\\z', ['eth0', 'eth12'], ['eth', 'veth0', 'eth0.5']],
  ['(?m)\\A10\\z', ['10'], ['1\n10', '10\n1']],
  ['^[[:alpha:]_][^[:space:][:punct:]]*$', ['eth0', '_a'], ['0a', 'a.b']],
  ['^\\Q10.0.0.1\\E$', ['10.0.0.1'], ['10x0x0x1']],
  ['\\Qa+b', ['a+b'], ['aab']],
  ['(?P<net>192\\.168)\\.', ['192.168.1.1'], ['192-168.1']],
  ['^(?:eth|ens)\\d$', ['eth0', 'ens3'], ['wlan0']],
  ['^[]a[]$', [']', 'a', '['], ['b', '']],
  ['^[^]]$', ['a'], [']', '']],
  ['^\\x41\\x{42}\\a?$', ['AB', 'AB\x07'], ['x41']],
  ['^[\\d.]+$', ['10.0.0.1'], ['fd00::1']],
  ['^a\\sb[\\s]c$', ['a b\tc'], ['a\u00a0b c']],
  ['fd00::\\d+', ['fd00::1'], ['fe80::1']],
  ['^10\\.', ['10.0.0.1'], ['100.0.0.1']],
])('parseGoRegExp() reads %s as Go does', (source, matching, others) => {
  const pattern = parseGoRegExp(source);
  expect(matching.filter((text) => !pattern.test(text))).toEqual([]);
  expect(others.filter((text) => pattern.test(text))).toEqual([]);
});

test.each([
  ['(?U)a+', 'the flag U in (?U) is not supported'],
  ['eth(?i)0', '(?i) in the middle is not supported: write flags at the beginning'],
  ['(?i:eth)0', '(?i: in the middle'],
  ['\\p{Greek}', '\\p is not supported'],
  ['\\pN', '\\p is not supported'],
  ['\\C', '\\C is not supported'],
  ['\\1', '\\1 is not supported'],
  ['[[:^digit:]]', 'write [^[:digit:]]'],
  ['[[:digits:]]', 'there is no class [:digits:]'],
  ['[\\S]', '\\S in brackets is not supported'],
  ['[a', 'is not closed'],
  ['a\\', 'ends with a backslash'],
  ['(', 'regular expression'],
])('parseGoRegExp() refuses %s in words', (source, message) => {
  expect(() => parseGoRegExp(source)).toThrow(message);
});

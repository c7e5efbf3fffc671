import { readFileSync } from 'node:fs';
import { cleanMappings, releaseOwnPages } from './own-pages.ts';

const block = (head: string, anonymous: number, swap = 0) =>
  `${head}\nRss: 40 kB\nAnonymous: ${anonymous} kB\nSwap: ${swap} kB\nSwapPss: 0 kB\nVmFlags: rd ex\n`;

test('cleanMappings() selects what is not writable, unchanged, and of the program itself', () => {
  const smaps = [
    block('00200000-01a39000 r--p 00000000 fe:00 53 /opt/flanneld', 0),
    block('01a40000-0684a000 r-xp 01838000 fe:00 53 /opt/flanneld', 0),
    block('06867000-06f6f000 rw-p 0665e000 fe:00 53 /opt/flanneld', 0),
    block('07000000-07001000 r-xp 00000000 fe:00 53 /opt/flanneld', 4),
    block('07001000-07002000 r--p 00000000 fe:00 53 /opt/flanneld', 0, 4),
    block('7ff24a640000-7ff24a796000 r-xp 00026000 fe:00 32 /usr/lib/libc.so.6', 0),
    block('7ff20a2d5000-7ff24a2d5000 rwxp 00000000 00:00 0 ', 0),
  ].join('');
  expect(cleanMappings(smaps, '/opt/flanneld')).toEqual([
    { start: 0x00200000, end: 0x01a39000 },
    { start: 0x01a40000, end: 0x0684a000 },
  ]);
  expect(cleanMappings('', '/opt/flanneld')).toEqual([]);
});

test('releaseOwnPages() makes the resident memory smaller, and the program goes on', () => {
  const fileBacked = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  const before = fileBacked();
  releaseOwnPages();
  expect(fileBacked()).toBeLessThan(before);
});

/**
 * A host in user space that answers pings: every address of 10.99.0.0/24 but the kernel's own 10.99.0.1 is alive.
 *
 *     bun packages/tun-tap/examples/echo.ts &       # as root; `ping 10.99.0.7` then gets answers
 *     npx esbuild packages/tun-tap/examples/echo.ts --bundle --platform=node --outfile=echo.cjs && node echo.cjs &
 */
import { execFileSync } from 'node:child_process';
import { open } from 'tun-tap/open';

const device = open({ name: 'echo%d' });
execFileSync('ip', ['address', 'add', '10.99.0.1/24', 'dev', device.name]);
execFileSync('ip', ['link', 'set', device.name, 'up']);
process.stdout.write(`${device.name} is up\n`);

const packet = new Uint8Array(65536);
for (;;) {
  const length = device.read(packet); // waits for the next packet: nothing else runs on this thread
  if (length >= 28 && packet[0] === 0x45 && packet[9] === 1 && packet[20] === 8) {
    answer(packet);
    device.write(packet.subarray(0, length));
  }
}

/** Makes an IPv4 ICMP echo request its reply. Swapping the addresses leaves the header's checksum as it is. */
function answer(request: Uint8Array): void {
  const source = request.slice(12, 16);
  request.copyWithin(12, 16, 20);
  request.set(source, 16);
  request[20] = 0; // 8 is the request, 0 the reply: the checksum over it grows by 0x0800 (RFC 1624)
  const checksum = new DataView(request.buffer, 22, 2);
  const sum = checksum.getUint16(0) + 0x0800;
  checksum.setUint16(0, (sum & 0xffff) + (sum >>> 16));
}

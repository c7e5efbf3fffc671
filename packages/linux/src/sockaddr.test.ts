import { parseIp } from '@flannel-ts/inet/ip';
import fc from 'fast-check';
import { ipOfSockaddr, sockaddrInPort, sockaddrOf } from './sockaddr.ts';

test('ipOfSockaddr() reads what sockaddrOf() wrote', () => {
  const ip = fc.oneof(fc.ipV4(), fc.ipV6()).map(parseIp);
  fc.assert(
    fc.property(ip, (address) => {
      const sockaddr = sockaddrOf(address, 8285);
      expect([ipOfSockaddr(sockaddr), sockaddrInPort(sockaddr)]).toEqual([address, 8285]);
    }),
  );
});

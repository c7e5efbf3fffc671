/** Properties of a network interface that ip(8) does not set; `ethtool` is not everywhere. */
import { closeFd, ioctl } from '@flannel-ts/linux/files';
import { addressOf } from '@flannel-ts/linux/memory';
import { AF_INET, SOCK_DGRAM, socket } from '@flannel-ts/linux/socket';

const SIOCETHTOOL = 0x8946; // linux/sockios.h
// linux/ethtool.h
const ETHTOOL_STSO = 0x1f;
const ETHTOOL_SGRO = 0x2c;

/** GRO of an interface of the calling thread's namespace (equivalent to `ethtool -K NAME gro on|off`). */
export function setGro(name: string, on: boolean): void {
  setFeature(name, ETHTOOL_SGRO, on);
}

/** TSO likewise (`tso on|off`). */
export function setTso(name: string, on: boolean): void {
  setFeature(name, ETHTOOL_STSO, on);
}

function setFeature(name: string, command: number, on: boolean): void {
  const value = new Uint8Array(new Uint32Array([command, on ? 1 : 0]).buffer);
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(name));
  new DataView(ifreq.buffer).setBigUint64(16, BigInt(addressOf(value)), true);
  const fd = socket(AF_INET, SOCK_DGRAM);
  try {
    ioctl(fd, SIOCETHTOOL, ifreq);
  } finally {
    closeFd(fd);
  }
  void value[0]; // alive until here: the kernel was given its address only
}

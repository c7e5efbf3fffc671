import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd, ioctl, O_RDWR, openFile, readFd, setNonblocking, writeFd } from '@flannel-ts/linux/files';
import * as c from './constants.ts';
import { TunTapError } from './errors.ts';
import { encodeIfreq, ifreqName } from './ifreq.ts';

export interface OpenOptions {
  /** A name, or a pattern with `%d` for the kernel to number. Default: the kernel's `tun%d` or `tap%d`. */
  readonly name?: string;
  /** `tun`: IP packets; `tap`: Ethernet frames. Default `tun`. */
  readonly kind?: 'tun' | 'tap';
  /** Every packet has a `virtio_net_hdr` of 10 bytes before it. Needed for offloads. Default false. */
  readonly vnetHeader?: boolean;
  /** The device may have several queues, see `Device.openQueue`. Default false. */
  readonly multiQueue?: boolean;
  /** Fail when a device of this name exists, instead of attaching to it. Default false. */
  readonly exclusive?: boolean;
  /** The device stays when its last descriptor is closed. Default false. */
  readonly persist?: boolean;
  /** Reads and writes end with EAGAIN instead of waiting. Default false. */
  readonly nonblocking?: boolean;
}

/** What a reader of the device takes over from the kernel; see `Device.setOffload`. */
export interface Offloads {
  readonly checksum: boolean;
  readonly tso: boolean;
  readonly ecn: boolean;
  /** UDP segmentation, Linux 6.2. */
  readonly uso: boolean;
}

export const NO_OFFLOADS: Offloads = { checksum: false, tso: false, ecn: false, uso: false };

/** Richest first. A kernel that does not know a bit refuses the whole mask with EINVAL. */
const OFFLOAD_LADDER: readonly Offloads[] = [
  { checksum: true, tso: true, ecn: true, uso: true },
  { checksum: true, tso: true, ecn: false, uso: true },
  { checksum: true, tso: true, ecn: true, uso: false },
  { checksum: true, tso: true, ecn: false, uso: false },
];

/**
 * Opens `/dev/net/tun` and makes the device, or attaches to an existing one (`ip tuntap add mode tun` and a descriptor for it).
 * Without `persist` the device goes with the last descriptor. It is made in the network namespace of the calling thread.
 * Offloads are off afterwards, also for others that have a queue of the same device: further queues of your own are for
 * `Device.openQueue`.
 */
export function open(options: OpenOptions = {}): Device {
  const flags =
    (options.kind === 'tap' ? c.IFF_TAP : c.IFF_TUN) |
    c.IFF_NO_PI |
    (options.vnetHeader ? c.IFF_VNET_HDR : 0) |
    (options.multiQueue ? c.IFF_MULTI_QUEUE : 0);
  const device = attach(options.name ?? '', flags, options.exclusive ?? false, options.nonblocking ?? false);
  try {
    // Header size and offload mask belong to the device, and stay in a persistent one. Without vnetHeader the mask must go all the more: packets would
    // come unsegmented and with unfinished checksums, and nothing in front of them would say so.
    if (options.vnetHeader) ioctl(device.fd, c.TUNSETVNETHDRSZ, int(c.VNET_HEADER_BYTES));
    ioctl(device.fd, c.TUNSETOFFLOAD, 0);
    if (options.persist !== undefined) device.setPersist(options.persist);
    return device;
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * A further queue of the device that a descriptor is a queue of, as `Device.openQueue`, for who has no more than the number:
 * another thread, or another process. The device must have been made with `multiQueue`.
 */
export function openFurtherQueue(fd: Fd): Device {
  return deviceOf(fd).openQueue();
}

/**
 * The device that a descriptor of another process is a queue of, which came by inheritance or SCM_RIGHTS; undefined if it is none, or if
 * the device has been deleted. The descriptor is the device's from now on, and its flags stay as they are.
 */
export function adopt(fd: Fd): Device | undefined {
  try {
    return deviceOf(fd);
  } catch (error) {
    if (isErrno(error, 'EBADF', 'EBADFD', 'ENOTTY', 'EINVAL')) return undefined;
    throw error;
  }
}

function deviceOf(fd: Fd): Device {
  const ifreq = encodeIfreq('', 0);
  ioctl(fd, c.TUNGETIFF, ifreq);
  const flags = new DataView(ifreq.buffer).getUint16(16, true);
  const kept = flags & (c.IFF_TUN | c.IFF_TAP | c.IFF_NO_PI | c.IFF_VNET_HDR | c.IFF_MULTI_QUEUE);
  return new Device(ifreqName(ifreq), fd, kept, false);
}

function attach(name: string, flags: number, exclusive: boolean, nonblocking: boolean): Device {
  const ifreq = encodeIfreq(name, flags | (exclusive ? c.IFF_TUN_EXCL : 0));
  const fd = openDriver();
  try {
    ioctl(fd, c.TUNSETIFF, ifreq);
    if (nonblocking) setNonblocking(fd, true);
    return new Device(ifreqName(ifreq), fd, flags, nonblocking);
  } catch (error) {
    closeFd(fd);
    throw explain(name, error);
  }
}

function openDriver(): Fd {
  try {
    return openFile('/dev/net/tun', O_RDWR);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENODEV') || isErrno(error, 'ENXIO')) {
      throw new TunTapError(
        'NO_DRIVER',
        'There is no /dev/net/tun: load the kernel module tun, or give the container that device',
        {
          cause: error,
        },
      );
    }
    throw explain('', error);
  }
}

function explain(name: string, cause: unknown): TunTapError {
  const device = name === '' ? 'a TUN/TAP device' : `TUN/TAP device "${name}"`;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (isErrno(cause, 'EPERM') || isErrno(cause, 'EACCES')) {
    return new TunTapError('NOT_PERMITTED', `Opening ${device} is not permitted: it needs CAP_NET_ADMIN`, { cause });
  }
  if (isErrno(cause, 'EBUSY')) {
    return new TunTapError('BUSY', `The name of ${device} is in use, by another process or with IFF_TUN_EXCL`, {
      cause,
    });
  }
  if (isErrno(cause, 'EINVAL')) {
    return new TunTapError(
      'EXISTS',
      `Cannot open ${device}: a device of that name exists with another kind or other flags`,
      { cause },
    );
  }
  return new TunTapError('FAILED', `Cannot open ${device}: ${text}`, { cause });
}

/** A queue of a TUN or TAP device. All methods work on this queue but `setOffload` and `setPersist`, which are the device's. */
export class Device {
  /** What `setOffload` last turned on. */
  offloads: Offloads = NO_OFFLOADS;
  private closed = false;

  constructor(
    readonly name: string,
    readonly fd: Fd,
    private readonly flags: number,
    private readonly nonblocking: boolean,
  ) {}

  get kind(): 'tun' | 'tap' {
    return (this.flags & c.IFF_TAP) !== 0 ? 'tap' : 'tun';
  }

  get isMultiQueue(): boolean {
    return (this.flags & c.IFF_MULTI_QUEUE) !== 0;
  }

  get hasVnetHeader(): boolean {
    return (this.flags & c.IFF_VNET_HDR) !== 0;
  }

  /** Reads one packet, with its vnet header if the device has those, and returns its length; a longer one is cut off. */
  read(buffer: Uint8Array): number {
    return readFd(this.fd, buffer);
  }

  /** Writes one packet, with its vnet header if the device has those. */
  write(packet: Uint8Array): number {
    return writeFd(this.fd, packet);
  }

  /**
   * Says which work of the kernel the reader does itself: packets may then come unsegmented, up to 64 KB, and with partial
   * checksums, as their vnet header says. Needs `vnetHeader`. Throws UNSUPPORTED where the kernel knows less.
   */
  setOffload(wanted: Offloads): void {
    this.needVnetHeader();
    try {
      ioctl(this.fd, c.TUNSETOFFLOAD, offloadMask(wanted));
    } catch (cause) {
      if (!isErrno(cause, 'EINVAL')) throw cause;
      throw new TunTapError('UNSUPPORTED', `The kernel refuses offloads ${JSON.stringify(wanted)} on "${this.name}"`, {
        cause,
      });
    }
    this.offloads = wanted;
  }

  /** Turns on the most that the kernel knows and returns it; NO_OFFLOADS when it refuses everything. */
  probeOffloads(): Offloads {
    this.needVnetHeader();
    for (const wanted of OFFLOAD_LADDER) {
      try {
        this.setOffload(wanted);
        return wanted;
      } catch (error) {
        if (!(error instanceof TunTapError && error.code === 'UNSUPPORTED')) throw error;
      }
    }
    return NO_OFFLOADS;
  }

  private needVnetHeader(): void {
    if (!this.hasVnetHeader) {
      throw new TunTapError('UNSUPPORTED', `Device "${this.name}" was opened without vnetHeader, which offloads need`);
    }
  }

  /** A further queue of the same device; the kernel spreads flows over queues by hash. Needs `multiQueue`. */
  openQueue(): Device {
    if ((this.flags & c.IFF_MULTI_QUEUE) === 0) {
      throw new TunTapError('UNSUPPORTED', `Device "${this.name}" was opened without multiQueue`);
    }
    const queue = attach(this.name, this.flags, false, this.nonblocking);
    queue.offloads = this.offloads;
    return queue;
  }

  /** Excludes this queue from the kernel's choice, or includes it again, without closing it. */
  setQueueEnabled(enabled: boolean): void {
    ioctl(this.fd, c.TUNSETQUEUE, encodeIfreq('', enabled ? c.IFF_ATTACH_QUEUE : c.IFF_DETACH_QUEUE));
  }

  /** Whether the device stays when its last descriptor is closed. */
  setPersist(on: boolean): void {
    ioctl(this.fd, c.TUNSETPERSIST, on ? 1 : 0);
  }

  /** May be called again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The bytes of a C int. */
function int(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function offloadMask(offloads: Offloads): number {
  return (
    (offloads.checksum ? c.TUN_F_CSUM : 0) |
    (offloads.tso ? c.TUN_F_TSO4 | c.TUN_F_TSO6 : 0) |
    (offloads.ecn ? c.TUN_F_TSO_ECN : 0) |
    (offloads.uso ? c.TUN_F_USO4 | c.TUN_F_USO6 : 0)
  );
}

import { checked } from './errors.ts';
import { libc } from './ffi/libc.ts';
import { cString } from './memory.ts';

// linux/mount.h
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_PRIVATE = 1 << 18;
const MS_SHARED = 1 << 20;

// sys/mount.h
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** `mount --bind SOURCE TARGET`, or `--rbind`: with what is mounted below the source. */
export function mountBind(source: string, target: string, { recursive = false } = {}): void {
  checked(
    libc.mount(cString(source), cString(target), null, recursive ? MS_BIND | MS_REC : MS_BIND, null),
    'mount',
    `bind-mount "${source}" on "${target}"`,
  );
}

/** `umount TARGET`; with MNT_DETACH also while it is in use. */
export function unmount(target: string, flags = 0): void {
  checked(libc.umount2(cString(target), flags), 'umount2', `unmount "${target}"`);
}

/** `mount --make-rprivate TARGET` */
export function makeMountPrivate(target: string): void {
  checked(
    libc.mount(null, cString(target), null, MS_PRIVATE | MS_REC, null),
    'mount',
    `make the mount "${target}" private`,
  );
}

/** `mount --make-rshared TARGET` */
export function makeMountShared(target: string): void {
  checked(
    libc.mount(null, cString(target), null, MS_SHARED | MS_REC, null),
    'mount',
    `make the mount "${target}" shared`,
  );
}

/** `mount -t TYPE TYPE TARGET`: of a file system without a device. */
export function mountFileSystem(type: string, target: string): void {
  checked(
    libc.mount(cString(type), cString(target), cString(type), 0, null),
    'mount',
    `mount a file system of type ${type} on "${target}"`,
  );
}

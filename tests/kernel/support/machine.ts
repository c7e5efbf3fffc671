/** A machine of its own kernel, by emulation: for behaviour, never for speed. All its files are in its initramfs. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KernelImage } from './kernels.ts';

export interface MachineOptions {
  readonly kernel: KernelImage;
  /** For the kernel's command line, like ipv6.disable=1. */
  readonly bootOptions?: readonly string[];
  /** By their place on the machine; what a dynamically linked program needs comes along. */
  readonly programs: Readonly<Record<string, string>>;
  /** For sh, with busybox, ip and nft at hand. Prints what the test looks at. */
  readonly script: string;
  readonly timeoutMs?: number;
}

/** Directories below /lib/modules/<release>/kernel. */
const MODULES = [
  ...['net', 'drivers/net/tun.ko', 'drivers/net/veth.ko', 'drivers/net/vxlan', 'drivers/net/wireguard'],
  ...['lib', 'crypto', 'arch/x86/crypto'],
];
/** busybox's shell would run its own ip instead of the real one. */
const HOST_PROGRAMS = ['/usr/sbin/nft', '/usr/sbin/ip', '/usr/sbin/tc', '/usr/bin/dash'];
const MEMORY_MB = 1000;
const BEGIN = '---- begin ----';
const END = '---- end ----';

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /tmp /sbin /var/run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
ln -s /bin/busybox /sbin/modprobe
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
# Programs of Bun: where the processor is emulated, to compile functions for speed takes longer than they take without.
export BUN_JSC_useDFGJIT=0
depmod
for module in tun veth bridge nf_tables; do modprobe $module; done
ip link set lo up
echo '${BEGIN}'
dash /script 2>&1
echo '${END}'
reboot -f
`;

/** What the script printed, a line each. Rejects when the machine did not come to the script's end in time. */
export async function runOnKernel(options: MachineOptions): Promise<string[]> {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-kernel-'));
  try {
    const output = await boot(options, makeInitramfs(options, directory));
    const [, rest] = output.split(`${BEGIN}\n`);
    const [printed, end] = rest?.split(`${END}\n`) ?? [];
    if (printed === undefined || end === undefined) throw new Error(`The machine did not end its script:\n${output}`);
    return printed.trimEnd().split('\n');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function makeInitramfs({ kernel, programs, script }: MachineOptions, directory: string): string {
  const root = path.join(directory, 'root');
  const modules = path.join(root, 'lib/modules', kernel.release);
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  for (const part of MODULES)
    cpSync(path.join(kernel.modules, 'kernel', part), path.join(modules, 'kernel', part), { recursive: true });
  for (const list of ['modules.builtin', 'modules.order'])
    cpSync(path.join(kernel.modules, list), path.join(modules, list));
  cpSync('/usr/bin/busybox', path.join(root, 'bin/busybox'));
  symlinkSync('/bin/busybox', path.join(root, 'bin/sh'));
  for (const file of HOST_PROGRAMS) install(root, file, file);
  for (const [place, file] of Object.entries(programs)) install(root, place, file);
  writeFileSync(path.join(root, 'script'), script);
  writeFileSync(path.join(root, 'init'), INIT);
  chmodSync(path.join(root, 'init'), 0o755);
  const archive = path.join(directory, 'initramfs');
  execFileSync('sh', ['-c', `find . | busybox cpio -o -H newc > "$0"`, archive], { cwd: root, stdio: 'pipe' });
  rmSync(root, { recursive: true, force: true });
  return archive;
}

function install(root: string, place: string, file: string): void {
  for (const [from, to] of [[file, place], ...librariesOf(file).map((library) => [library, library])]) {
    const target = path.join(root, to!);
    mkdirSync(path.dirname(target), { recursive: true });
    cpSync(from!, target, { dereference: true });
  }
}

function librariesOf(file: string): string[] {
  try {
    const lines = execFileSync('ldd', [file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return [...lines.matchAll(/(\/[^\s]+\.so[^\s]*) \(/g)].map((match) => match[1]!);
  } catch {
    return []; // statically linked
  }
}

async function boot(
  { kernel, bootOptions = [], timeoutMs = 540_000 }: MachineOptions,
  initramfs: string,
): Promise<string> {
  // On a busy machine the kernel finds that its timer does not tick in time, and gives up.
  const options = ['console=ttyS0', 'quiet', 'panic=-1', 'random.trust_cpu=on', 'no_timer_check'];
  const append = [...options, ...bootOptions].join(' ');
  const argv = ['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(MEMORY_MB), '-smp', '2'];
  argv.push('-nographic', '-nodefaults', '-serial', 'stdio', '-no-reboot', '-net', 'none');
  argv.push('-kernel', kernel.vmlinuz, '-initrd', initramfs, '-append', append);
  const child = spawn('qemu-system-x86_64', argv, { stdio: [openSync('/dev/null', 'r'), 'pipe', 'pipe'] });
  let output = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString().replaceAll('\r', '');
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  try {
    await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
  } finally {
    clearTimeout(timer);
  }
  return output;
}

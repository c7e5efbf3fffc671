/** A machine on this machine: a root file system, systemd as its pid 1, and namespaces of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeControlGroupFolder } from '@flannel-ts/infra/local/host/control-groups';
import { deleteNetns } from '@flannel-ts/linux/netns';
import { cgroupHierarchy } from './cgroups.ts';
import { type Result, run, until } from './process.ts';

const START = join(__dirname, 'start-machine.sh');
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A block device the machine sees. */
export interface BlockDevice {
  /** Below /dev: "sdf". */
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

export interface MachineSetup {
  /** Unique on this host: of namespaces and cgroups. */
  readonly id: string;
  /** Root file system; it is not written to. */
  readonly image: string;
  /** Existing directory for what the machine writes. */
  readonly directory: string;
  /** Makes the machine's network, anew at every boot: nothing of it outlives a machine that is off. Returns its path. */
  readonly connect: () => Promise<string> | string;
  /** What was made around it. */
  readonly disconnect: () => Promise<void> | void;
  readonly disks: readonly BlockDevice[];
}

export class Machine {
  private starter: ChildProcess | undefined;
  private ended: Promise<void> = Promise.resolve();
  private init = 0;
  private netns = '';
  private complaints = '';

  constructor(private readonly setup: MachineSetup) {
    for (const name of ['disk', 'work', 'root']) mkdirSync(join(setup.directory, name), { recursive: true });
  }

  get id(): string {
    return this.setup.id;
  }

  get isOn(): boolean {
    return this.starter !== undefined && this.starter.exitCode === null && this.starter.signalCode === null;
  }

  /** Switches it on, and waits until systemd has started what it starts at boot, cloud-init included. */
  async boot(): Promise<void> {
    await this.switchOn();
    await this.untilBooted();
  }

  async switchOn(): Promise<void> {
    const { image, directory, disks } = this.setup;
    this.netns = await this.setup.connect();
    const cgroup = join(cgroupHierarchy(), this.id);
    mkdirSync(cgroup);
    const devices = disks.map(({ name, major, minor }) => `${name}:${major}:${minor}`);
    // Not even a killed test run leaves a machine that is on.
    const command = ['--pdeathsig', 'KILL', 'sh', START, cgroup, this.netns, image, directory, ...devices];
    const starter = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.starter = starter;
    this.complaints = '';
    starter.stderr.on('data', (chunk) => {
      this.complaints += chunk;
    });
    this.ended = new Promise((resolve) => starter.once('close', () => resolve()));
    this.init = 0;
    await until(`${this.id} has a process 1`, () => {
      if (!this.isOn) throw new Error(`${this.id} did not start: ${this.complaints}`);
      this.init = firstChild(starter.pid!) ?? 0;
      return this.init !== 0 && readFileSync(`/proc/${this.init}/comm`, 'utf8') === 'systemd\n';
    });
  }

  async untilBooted(): Promise<void> {
    const explain = async () => `${(await this.run('systemctl', 'list-jobs')).stdout}\n${await this.journal()}`;
    const settled = async () => /^(running|degraded)$/.test((await this.state()) ?? '');
    await until(`${this.id} has booted`, settled, { seconds: 120, explain });
  }

  /** As systemd sees itself: "running" when everything that should be up is; undefined while it does not answer. */
  async state(): Promise<string | undefined> {
    const { stdout } = await this.run('systemctl', 'is-system-running');
    return stdout.trim() || undefined;
  }

  /** Names of the units that failed. */
  async failedUnits(): Promise<string[]> {
    const list = await this.exec('systemctl', 'list-units', '--failed', '--plain', '--no-legend');
    return list.split('\n').flatMap((line) => line.split(' ', 1).filter((name) => name !== ''));
  }

  /** Runs a command as root on the machine, to its end. */
  run(...command: string[]): Promise<Result> {
    return this.runWithInput('', ...command);
  }

  runWithInput(input: string, ...command: string[]): Promise<Result> {
    const spaces = ['mount', 'uts', 'ipc', 'net', 'pid', 'cgroup', 'root', 'wd'].map((name) => `--${name}`);
    const environment = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'LANG=C.UTF-8'];
    return run(['nsenter', `--target=${this.init}`, ...spaces, ...environment, ...command], input);
  }

  /** The same; fails with all it said when it does not end with 0. Returns its standard output. */
  async exec(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(' ')} on ${this.id} ended with ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  async journal(...options: string[]): Promise<string> {
    return (await this.run('journalctl', '--no-pager', '--output=short-monotonic', ...options)).stdout;
  }

  /** Another device appears while it runs. It is not there any more at the next boot. */
  async attach({ name, major, minor }: BlockDevice): Promise<void> {
    await this.exec('mknod', '-m', '660', `/dev/${name}`, 'b', String(major), String(minor));
  }

  /** Ends it as its operator would, units in order. */
  async shutDown(): Promise<void> {
    await this.run('systemctl', '--no-block', 'poweroff');
    const explain = () => this.journal('--lines=50');
    await until(`${this.id} is off`, () => !this.isOn, { seconds: 60, explain });
    await this.clear();
  }

  /** Pulls the plug. */
  async cutPower(): Promise<void> {
    if (this.starter === undefined) return;
    this.starter.kill('SIGKILL'); // its child dies with it
    await this.clear();
  }

  async reboot(): Promise<void> {
    await this.shutDown();
    await this.boot();
  }

  /** Nothing of it is left, its disk included. */
  async destroy(): Promise<void> {
    await this.cutPower();
    rmSync(this.setup.directory, { recursive: true, force: true });
  }

  /** After its last process: what outlives processes. */
  private async clear(): Promise<void> {
    await this.ended;
    this.starter = undefined;
    await until(`the control groups of ${this.id} are gone`, () =>
      removeControlGroupFolder(join(cgroupHierarchy(), this.id)),
    );
    await this.setup.disconnect();
    deleteNetns(this.netns);
  }
}

function firstChild(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? undefined : Number(children.split(' ')[0]);
  } catch {
    return undefined;
  }
}

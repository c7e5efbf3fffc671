/**
 * A machine for an etcd member as AWS would have it, as far as its scripts can tell: a root of its own (an overlay on this
 * machine's), a network namespace with the member's address, and the files of the user-data that the stack renders. There is
 * no systemd in it; STAND-INS for systemctl and the AWS CLI do what the scripts ask of them, on files.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type EtcdUserData, etcdUserData } from '../../../infra/aws/boot/userdata.ts';

const SYSTEMCTL = `#!/bin/bash
# STAND-IN for systemd: starts and stops etcd with its environment files. Other units are left to the test.
args=()
for arg; do case $arg in --*) ;; *) args+=("$arg") ;; esac; done
pid=$(cat /run/etcd.pid 2>/dev/null)
alive() { [ -n "$pid" ] && [ -d "/proc/$pid" ]; }
case "\${args[0]} \${args[*]:1}" in
  'is-active etcd.service') alive ;;
  'start etcd.service'*)
    alive && exit
    set -a
    . /etc/etcd/etcd.env
    . /run/flannel/etcd-initial.env
    setsid /opt/etcd/current/etcd >>/var/log/etcd.log 2>&1 </dev/null &
    echo $! >/run/etcd.pid
    ;;
  'stop etcd.service')
    if alive; then kill "$pid"; fi
    while alive; do sleep 0.1; done
    ;;
  *) echo "no stand-in for systemctl $*" >&2; exit 1 ;;
esac
`;

const AWS = `#!/bin/bash
# STAND-IN for the AWS CLI: objects, parameters and the stack's nodes are files below /srv/aws.
declare -A option
words=()
while [ $# -gt 0 ]; do
  case $1 in
    --with-decryption) ;;
    --filters) option[filters]="$2 $3 $4"; shift 3 ;;
    --*) option[\${1#--}]=$2; shift ;;
    *) words+=("$1") ;;
  esac
  shift
done
bucket=/srv/aws/s3/\${option[bucket]}
case "\${words[0]} \${words[1]}" in
  's3api get-object') cp "$bucket/\${option[key]}" "\${words[2]}" ;;
  's3api put-object')
    mkdir -p "$(dirname "$bucket/\${option[key]}")"
    cp "\${option[body]:-/dev/null}" "$bucket/\${option[key]}"
    ;;
  's3api list-objects-v2')
    found=$(cd "$bucket" 2>/dev/null && find . -type f | sed 's|^./||' | grep "^\${option[prefix]}" | sort)
    echo "\${found:-None}"
    ;;
  'ssm get-parameter') cat "/srv/aws/ssm\${option[name]}" && echo ;;
  'ec2 describe-instances')
    echo "\${option[filters]}" >/srv/aws/filters
    cat /srv/aws/instances
    ;;
  *) exit 254 ;;
esac
`;

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class CloudMember {
  private readonly root: string;
  private readonly data: string;

  constructor(
    /** Of this machine; an overlay cannot have its upper layer on the same file system below the lower one. */
    private readonly directory: string,
    private readonly netns: string,
    /** S3 and SSM. */
    private readonly cloud: string,
    readonly userData: EtcdUserData,
  ) {
    this.root = join(directory, 'root');
    this.data = join(directory, 'volume');
    mkdirSync(this.data, { recursive: true });
  }

  get name(): string {
    return this.userData.name;
  }

  /** A new instance, with the data volume there was. */
  launch(userData: EtcdUserData = this.userData): void {
    mkdirSync(this.root, { recursive: true });
    const layer = join(this.directory, 'layer');
    mkdirSync(layer);
    sh('mount', '-t', 'tmpfs', 'tmpfs', layer);
    for (const name of ['upper', 'work']) mkdirSync(join(layer, name));
    const layers = `lowerdir=/,upperdir=${layer}/upper,workdir=${layer}/work`;
    sh('mount', '-t', 'overlay', 'overlay', '-o', layers, this.root);
    for (const [from, to] of [
      ['/proc', '/proc'],
      ['/dev', '/dev'],
      [this.cloud, '/srv/aws'],
      [this.data, '/var/lib/etcd'],
    ] as const) {
      mkdirSync(join(this.root, to), { recursive: true });
      sh('mount', '--bind', from, join(this.root, to));
    }
    this.write('/usr/local/sbin/systemctl', SYSTEMCTL, 0o755);
    this.write('/usr/local/sbin/aws', AWS, 0o755);
    this.update(userData);
  }

  update(userData: EtcdUserData): void {
    for (const { path, content, mode } of filesOf(etcdUserData(userData))) {
      this.write(path, content, Number.parseInt(mode, 8));
    }
  }

  /** As the machine's units do at every boot. */
  boot(): Ran {
    const failed = ['stage', 'activate'].map((name) => this.run(`/usr/local/lib/flannel/${name}`)).find(isFailure);
    const ran = this.flannelEtcd('bootstrap');
    return { ...ran, stderr: `${failed?.stderr ?? ''}${ran.stderr}` };
  }

  flannelEtcd(...args: string[]): Ran {
    return this.run('/opt/etcd/current/flannel-etcd', ...args);
  }

  ctl(...args: string[]): string {
    const ran = this.flannelEtcd('ctl', ...args);
    if (isFailure(ran)) throw new Error(`${this.name}: etcdctl ${args.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  }

  run(...command: string[]): Ran {
    const all = [`--net=/run/netns/${this.netns}`, 'chroot', this.root, ...command];
    const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    return spawnSync('nsenter', all, { encoding: 'utf8', env: { PATH: path }, timeout: 120_000 });
  }

  log(): string {
    const path = join(this.root, 'var/log/etcd.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** As when the instance is gone: without a last word to the others. */
  terminate(): void {
    if (!existsSync(this.root)) return;
    const file = join(this.root, 'run/etcd.pid');
    if (existsSync(file))
      this.run(
        'bash',
        '-c',
        'kill -9 "$1"; while [ -d "/proc/$1" ]; do sleep 0.1; done',
        '-',
        readFileSync(file, 'utf8').trim(),
      );
    for (const at of ['/proc', '/dev', '/srv/aws', '/var/lib/etcd', '']) {
      spawnSync('umount', ['--lazy', `${this.root}${at}`]);
    }
    spawnSync('umount', ['--lazy', join(this.directory, 'layer')]);
    for (const name of ['root', 'layer']) rmSync(join(this.directory, name), { recursive: true, force: true });
  }

  loseVolume(): void {
    rmSync(this.data, { recursive: true });
    mkdirSync(this.data);
  }

  private write(path: string, content: string, mode: number): void {
    const absolute = join(this.root, path);
    mkdirSync(dirname(absolute), { recursive: true });
    writeFileSync(absolute, content);
    chmodSync(absolute, mode);
  }
}

function isFailure({ status }: Ran): boolean {
  return status !== 0;
}

/** The files of a user-data. cloud-init reads all of YAML; this is only the form that the stack renders. */
export function filesOf(userData: string): { path: string; mode: string; content: string }[] {
  const [, list = ''] = /^write_files:\n(.*?)^runcmd:/ms.exec(userData) ?? [];
  return list
    .split(/^ {2}- path: /m)
    .slice(1)
    .map((text) => {
      const [path = '', permissions = '', , ...content] = text.split('\n');
      const [, mode = ''] = /'(\d+)'/.exec(permissions) ?? [];
      return { path, mode, content: content.map((line) => line.slice(6)).join('\n') };
    });
}

export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

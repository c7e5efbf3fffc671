/** containerd, as Debian has it: version 1.6. */
import { conflist } from '../files.ts';
import { composeMachine, type MachinePlan, part, textFile } from '../machine-plan.ts';

export interface ContainerdPart {
  readonly root: string;
  /** Of the machine's flanneld: it is changed over by a link. Without, a pod of the overlay brings its plugin and configuration. */
  readonly flannelPlugins?: string;
  readonly pauseImage: string;
}

/** In the machine's own /run. */
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock';
const METRICS = '127.0.0.1:1338';

/** Snapshotters and tracing that no machine here has: each costs a warning at every start. */
const UNUSED = [
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.internal.v1.tracing',
];

/** Debian's: containerd executes it for every pod. */
const LOOPBACK = '/usr/lib/cni/loopback';

/** The network of the pods, by the plugins it is made with. */
export function containerdPart({ root, flannelPlugins, pauseImage }: ContainerdPart): MachinePlan {
  const pluginDirectory = `${root}/opt/cni/bin`;
  if (flannelPlugins === undefined) {
    return containerd(root, { pluginDirectory, confDirectory: `${root}/etc/cni/net.d`, pauseImage });
  }
  const confDirectory = `${root}/etc/cni/kubernetes.d`;
  const links = [
    { path: `${pluginDirectory}/flannel`, target: `${flannelPlugins}/flannel` },
    { path: `${pluginDirectory}/loopback`, target: LOOPBACK },
  ];
  const capabilities = { portMappings: true, bandwidth: true } as const;
  const network = textFile(`${confDirectory}/10-flannel.conflist`, conflist(root, capabilities));
  const plan = containerd(root, { pluginDirectory, confDirectory, pauseImage });
  return composeMachine(plan, { files: [network], links, units: [] });
}

interface Cri {
  readonly pluginDirectory: string;
  readonly confDirectory: string;
  readonly pauseImage: string;
}

function containerd(root: string, { pluginDirectory, confDirectory, pauseImage }: Cri): MachinePlan {
  const config = `${root}/etc/containerd/config.toml`;
  const data = `${root}/var/lib/containerd`;
  return part(
    [
      textFile(
        config,
        `version = 2
root = "${data}"
state = "/run/containerd"
disabled_plugins = [${UNUSED.map((name) => `"${name}"`).join(', ')}]

[grpc]
  address = "${CONTAINERD_SOCKET}"

[metrics]
  address = "${METRICS}"

[plugins."io.containerd.internal.v1.opt"]
  path = "${data}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # A machine may lack CAP_SYS_RESOURCE, with which scores could be lowered.
  restrict_oom_score_adj = true
  disable_apparmor = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${pluginDirectory}"
    conf_dir = "${confDirectory}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`,
      ),
    ],
    {
      name: 'containerd',
      description: 'containerd, which runs the containers',
      command: ['containerd', '--config', config],
      environmentFiles: [],
      directories: [data, `${root}/var/log`],
      readyUrl: `http://${METRICS}/v1/metrics`,
      log: `${root}/var/log/containerd.log`,
      stopSeconds: 10,
    },
  );
}

import { createHash } from 'node:crypto';
import * as pulumi from '@pulumi/pulumi';
import { parse, parseAllDocuments } from 'yaml';
import { Flannel } from './flannel.ts';
import { renderChart, renderManifest } from './manifest.ts';
import { type FlannelSettings, flannelObjects, type KubernetesObject } from './objects.ts';

const VALUES = {
  network: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } },
  image: 'flannel-ts:1.2.3',
  imagePullPolicy: 'IfNotPresent',
} as const;

interface Container {
  readonly args: readonly string[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts: readonly object[];
}
interface DaemonSetSpec {
  readonly updateStrategy: object;
  readonly template: {
    readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
    readonly spec: {
      readonly containers: readonly [Container];
      readonly initContainers: readonly [Container];
      readonly volumes: readonly object[];
    };
  };
}
const specOf = (settings: FlannelSettings): DaemonSetSpec =>
  flannelObjects(settings).find(({ kind }) => kind === 'DaemonSet')!.spec as DaemonSetSpec;

test('flannelObjects() asks for as little as flanneld needs', () => {
  const objects = flannelObjects(VALUES);
  expect(objects).toMatchSnapshot();
  const { containers, initContainers } = specOf(VALUES).template.spec;
  expect(containers[0].securityContext).toEqual({
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
  });
  expect(initContainers[0].securityContext).toMatchObject({ capabilities: { drop: ['ALL'] } });
});

test('another network config makes other pods', () => {
  const hash = (settings: FlannelSettings) => Object.values(specOf(settings).template.metadata.annotations)[0];
  expect(hash(VALUES)).toMatch(/^[0-9a-f]{64}$/);
  expect(hash({ ...VALUES, network: { ...VALUES.network, Backend: { Type: 'host-gw' } } })).not.toBe(hash(VALUES));
});

test('the udp backend gets its device and a place for the names of its programs, and no more rights', () => {
  const { containers, volumes } = specOf({ ...VALUES, network: { Network: '10.244.0.0/16', Backend: { Type: 'udp' } } })
    .template.spec;
  expect(containers[0].securityContext).toEqual(specOf(VALUES).template.spec.containers[0].securityContext);
  expect(volumes).toContainEqual({ name: 'tun', hostPath: { path: '/dev/net/tun', type: 'CharDevice' } });
  expect(volumes).toContainEqual({ name: 'bpf', hostPath: { path: '/sys/fs/bpf' } });
  expect(containers[0].volumeMounts).toContainEqual({ name: 'bpf', mountPath: '/sys/fs/bpf' });
});

test('programs in the kernel need a privileged container', () => {
  const udp = { Network: '10.244.0.0/16', Backend: { Type: 'udp' } };
  const chosen = [
    { ...VALUES, network: { ...udp, Backend: { Type: 'udp', Engine: 'ebpf' } } },
    { ...VALUES, network: udp, flags: ['-engine=ebpf'] },
  ];
  for (const settings of chosen) {
    const { containers } = specOf(settings).template.spec;
    expect(containers[0].securityContext).toEqual({ privileged: true, readOnlyRootFilesystem: true });
    const mount = { name: 'bpf', mountPath: '/sys/fs/bpf', mountPropagation: 'Bidirectional' };
    expect(containers[0].volumeMounts).toContainEqual(mount);
  }
});

test('a second network has roles of its own', () => {
  const names = (namespace?: string) =>
    flannelObjects({ ...VALUES, ...(namespace !== undefined && { namespace }) })
      .filter(({ kind }) => kind.startsWith('ClusterRole'))
      .map(({ metadata }) => metadata.name);
  expect(names()).toEqual(['flannel', 'flannel']);
  expect(names('second')).toEqual(['flannel-second', 'flannel-second']);
});

test('settings reach the flags', () => {
  const { args } = specOf({
    ...VALUES,
    annotationPrefix: 'two.example',
    ipMasq: false,
    flags: ['-v=1'],
    podMonitor: true,
  }).template.spec.containers[0];
  expect(args).toEqual([
    '-kube-subnet-mgr',
    '-take-over',
    '-healthz-port=8081',
    '-kube-annotation-prefix=two.example',
    '-v=1',
  ]);
  expect(flannelObjects({ ...VALUES, podMonitor: true }).at(-1)).toMatchObject({ kind: 'PodMonitor' });
});

describe('the same objects', () => {
  const objects = flannelObjects(VALUES);

  test('are in the manifest', () => {
    expect(parseAll(renderManifest(objects))).toEqual(objects);
  });

  // By the four expressions that the templates have, in the order of Helm: the program itself is not run here.
  test('are what the chart renders to', () => {
    const files = renderChart('1.2.3', VALUES);
    expect(parse(files.get('values.yaml')!)).toEqual(VALUES);
    const rendered = render(files.get('templates/flannel.yaml')!);
    expect(rendered).not.toMatch(/\{\{|@@|MARK/);
    const chart = parseAll(rendered);
    const [fromChart, fromHere] = [chart, objects].map((list) => list.map(withoutHash));
    expect(fromChart).toEqual(fromHere);
    expect(hashIn(chart)).toMatch(/^[0-9a-f]{64}$/); // of other text: it has to change with the config, no more
  });

  test('are what the component registers', async () => {
    const registered: KubernetesObject[] = [];
    await pulumi.runtime.setMocks({
      newResource: ({ inputs, type, name }) => {
        if (type.startsWith('kubernetes:')) registered.push(inputs as KubernetesObject);
        return { id: name, state: inputs as Record<string, unknown> };
      },
      call: () => ({}),
    });
    const flannel = new Flannel('flannel', VALUES);
    const daemonSet = await new Promise((resolve) => flannel.daemonSet.apply(resolve));
    expect(daemonSet).toBe('kube-flannel-ds');
    expect(sorted(registered)).toEqual(sorted(objects));
  });
});

function render(template: string): string {
  return template
    .replaceAll('{{ .Values.image | quote }}', JSON.stringify(VALUES.image))
    .replaceAll('{{ .Values.imagePullPolicy }}', VALUES.imagePullPolicy)
    .replaceAll('{{ .Values.network | toJson | sha256sum }}', sha256(JSON.stringify(VALUES.network)))
    .replace(/^.*\{\{- \.Values\.network \| toPrettyJson \| nindent 4 \}\}/m, () => {
      const lines = JSON.stringify(VALUES.network, undefined, 2).split('\n');
      return lines.map((line) => `    ${line}`).join('\n');
    });
}

function parseAll(text: string): KubernetesObject[] {
  return parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
}

function hashIn(objects: readonly KubernetesObject[]): string | undefined {
  return /"flannel-ts\/config-sha256":"(\w+)"/.exec(JSON.stringify(objects))?.[1];
}

function withoutHash(object: KubernetesObject): unknown {
  return JSON.parse(
    JSON.stringify(object).replace(/"flannel-ts\/config-sha256":"\w+"/, '"flannel-ts/config-sha256":""'),
  );
}

function sorted(objects: readonly KubernetesObject[]): KubernetesObject[] {
  return [...objects].sort((a, b) => a.kind.localeCompare(b.kind));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

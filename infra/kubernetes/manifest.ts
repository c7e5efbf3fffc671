/** The objects for people without Pulumi: one file for kubectl, and a Helm chart. Pure. */
import { stringify } from 'yaml';
import { type FlannelSettings, flannelObjects, type KubernetesObject } from './objects.ts';

export function renderManifest(objects: readonly KubernetesObject[]): string {
  return objects.map((object) => `---\n${stringify(object, { lineWidth: 0 })}`).join('');
}

/** What a chart may set. Each stands for itself in the templates, once and nowhere else. */
export interface ChartValues {
  readonly network: FlannelSettings['network'];
  readonly image: string;
  readonly imagePullPolicy: string;
}

const CONFIG_MARK = '@@network@@';
const IMAGE_MARK = 'MARK-OF-THE-IMAGE';
const POLICY_MARK = 'MARK-OF-THE-POLICY';
const HASH = /^(\s*flannel-ts\/config-sha256: ).*$/m;

/** Files of the chart by their names. The namespace is Helm's: an object that makes it would be in its way. */
export function renderChart(version: string, values: ChartValues): ReadonlyMap<string, string> {
  const marked = flannelObjects({
    network: { mark: CONFIG_MARK },
    image: IMAGE_MARK,
    imagePullPolicy: POLICY_MARK as 'Never',
  });
  const templates = renderManifest(marked)
    .replace(/^( *)\{\n *"mark": "@@network@@"\n *\}\n/m, '$1{{- .Values.network | toPrettyJson | nindent 4 }}\n')
    .replaceAll(IMAGE_MARK, '{{ .Values.image | quote }}')
    .replaceAll(POLICY_MARK, '{{ .Values.imagePullPolicy }}')
    .replace(HASH, '$1{{ .Values.network | toJson | sha256sum }}');
  const chart = {
    apiVersion: 'v2',
    name: 'flannel',
    version,
    description: 'flannel in TypeScript',
    type: 'application',
  };
  return new Map([
    ['Chart.yaml', stringify(chart)],
    ['values.yaml', stringify(values)],
    ['templates/flannel.yaml', templates],
  ]);
}

/** The chart, by Helm itself. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { renderChart } from '../../infra/kubernetes/manifest.ts';
import { flannelObjects, type KubernetesObject } from '../../infra/kubernetes/objects.ts';
import { makeContext } from '../../tools/setup/context.mjs';
import { kubernetesDirectory } from '../../tools/setup/kubernetes.mjs';
import { REPOSITORY } from '../e2e/support.ts';

const HELM = join(kubernetesDirectory(makeContext(REPOSITORY, process.env)), 'helm');
const VALUES = {
  network: { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } },
  image: 'flannel-ts:1.2.3',
  imagePullPolicy: 'IfNotPresent',
} as const;

let chart = '';
beforeAll(() => {
  chart = mkdtempSync(join(tmpdir(), 'fltest-chart-'));
  for (const [name, text] of renderChart('1.2.3', VALUES)) {
    mkdirSync(dirname(join(chart, name)), { recursive: true });
    writeFileSync(join(chart, name), text);
  }
});
afterAll(() => rmSync(chart, { recursive: true }));

function helm(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(HELM, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`helm ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** Without what tells one text of a config from another, and with the config as what it means. */
function comparable(objects: readonly KubernetesObject[]): unknown {
  const text = JSON.stringify(objects).replace(/"flannel-ts\/config-sha256":"\w+"/, '"flannel-ts/config-sha256":""');
  const plain = (JSON.parse(text) as (KubernetesObject & { data?: Record<string, string> })[]).map((object) => ({
    ...object,
    ...(object.data && { data: Object.entries(object.data).map(([key, value]) => [key, JSON.parse(value)]) }),
  }));
  return plain.sort((a, b) => a.kind.localeCompare(b.kind));
}

const rendered = (...args: string[]) =>
  parseAllDocuments(helm('template', 'flannel', chart, ...args)).map((each) => each.toJS() as KubernetesObject);

test('Helm finds no fault in the chart', () => {
  expect(helm('lint', '--strict', chart)).toContain('0 chart(s) failed');
});

test('Helm renders the objects of the manifest', () => {
  expect(comparable(rendered())).toEqual(comparable(flannelObjects(VALUES)));
});

test('its values are what the settings are', () => {
  const image = 'registry.example/flannel:2';
  const set = ['--set', `image=${image}`, '--set', 'network.Backend.Type=host-gw', '--set', 'imagePullPolicy=Always'];
  const network = { ...VALUES.network, Backend: { Type: 'host-gw' } };
  const objects = flannelObjects({ network, image, imagePullPolicy: 'Always' });
  expect(comparable(rendered(...set))).toEqual(comparable(objects));
});

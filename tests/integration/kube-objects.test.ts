/** The objects of the DaemonSet before a real API server, and the image that they name. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { pino } from 'pino';
import { KubeSubnetManager } from '../../daemon/src/subnet/kube/manager.ts';
import { flannelObjects, IMAGE_PATHS, type KubernetesObject } from '../../infra/kubernetes/objects.ts';
import { untilReady } from '../../infra/kubernetes/ready.ts';
import { makeFlannelImage } from '../../tools/build/flannel-image.ts';
import { KubeServer } from './support/kube-server.ts';

jest.setTimeout(120_000);

const ROOT = path.resolve(__dirname, '../..');
const NETWORK = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const OBJECTS = flannelObjects({ network: NETWORK, image: 'localhost/flannel-ts:0' });

describe('a real API server', () => {
  let server: KubeServer;
  beforeAll(async () => {
    server = await KubeServer.start();
  });
  afterAll(() => server?.destroy());

  test('takes every object, without a field that it does not know', async () => {
    for (const object of OBJECTS) await server.request('POST', `${urlOf(object)}?fieldValidation=Strict`, object);
    const daemonSet = OBJECTS.find(({ kind }) => kind === 'DaemonSet')!;
    const { name, namespace } = daemonSet.metadata;
    const stored = await server.request<KubernetesObject>(
      'GET',
      `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`,
    );
    expect(stored).toMatchObject(daemonSet as object);
  });

  test('gives the service account all that flanneld asks for', async () => {
    const token = await server.request<{ status: { token: string } }>(
      'POST',
      '/api/v1/namespaces/kube-flannel/serviceaccounts/flannel/token',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    );
    await server.createNode('a', ['10.244.3.0/24']);
    const lines: string[] = [];
    const manager = new KubeSubnetManager(
      {
        kubeconfigFile: server.kubeconfig(token.status.token),
        annotationPrefix: 'flannel.alpha.coreos.com',
        netConfigPath: server.file('net-conf.json', JSON.stringify(NETWORK)),
        nodeName: 'a',
        setNetworkUnavailable: true,
      },
      pino({}, { write: (line: string) => void lines.push(line) }),
    );
    const stop = new AbortController();
    const config = parseNetworkConfig(JSON.stringify(NETWORK));
    const attributes = { publicIp: parseIp('10.64.0.16', 4), backendType: '' };
    const membership = await manager.join({ config, attributes }, stop.signal);
    const holding = membership.hold(stop.signal, () => {});
    membership.serving?.(true);
    for await (const batch of manager.peers(stop.signal)) {
      expect(batch).toMatchObject({ kind: 'snapshot', leases: [{}] });
      break;
    }
    for (;;) {
      const { status } = await server.node('a');
      if (status?.conditions?.some(({ type, status: is }) => type === 'NetworkUnavailable' && is === 'False')) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    stop.abort();
    await holding;
    manager.close();
    expect(lines.filter((line) => line.includes('403'))).toEqual([]);
  });

  test('is what untilReady() waits for', async () => {
    const kubeconfig = JSON.parse(readFileSync(server.kubeconfig(), 'utf8'));
    kubeconfig.clusters[0].cluster['certificate-authority-data'] = Buffer.from(server.ca).toString('base64');
    const text = JSON.stringify(kubeconfig);
    await untilReady(text, { limitMs: 10_000, everyMs: 50 });
    await server.stop();
    await expect(untilReady(text, { limitMs: 300, everyMs: 50 })).rejects.toThrow(
      'was not ready within 0 s: connect ECONNREFUSED',
    );
    const waiting = untilReady(text, { limitMs: 60_000, everyMs: 50 });
    await server.start();
    await waiting;
  });
});

describe('the image', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-image-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('has the same bytes each time, and runs with nothing of this machine but its kernel', async () => {
    const made = await makeFlannelImage(ROOT, process.env);
    expect((await makeFlannelImage(ROOT, process.env)).sha256).toBe(made.sha256);
    const root = unpack(path.join(ROOT, made.file), directory);
    writeFileSync(path.join(root, 'etc/cni-conf.json'), '{}');
    const inside = (...argv: string[]) =>
      execFileSync('unshare', ['--mount', 'sh', '-c', INSIDE, root, ...argv], { encoding: 'utf8', stdio: 'pipe' });
    const installed = inside(IMAGE_PATHS.flanneld, 'install-cni', IMAGE_PATHS.plugin, '/etc/cni-conf.json');
    expect(installed).toBe('Installed /opt/cni/bin/flannel and /etc/cni/net.d/10-flannel.conflist\n');
    expect(inside('/usr/sbin/nft', '--version')).toContain('nftables');
    expect(() => inside('/bin/sh', '-c', 'true')).toThrow('No such file');
  });
});

/** As a runtime would: with /proc and /dev of the container's own. */
const INSIDE = 'mount --bind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';

function unpack(archive: string, to: string): string {
  const tar = (...argv: string[]) => execFileSync('tar', ['-C', ...argv]);
  const blob = (digest: string) => path.join(to, 'blobs', digest.replace(':', '/'));
  tar(to, '-xf', archive);
  const root = path.join(to, 'root');
  execFileSync('mkdir', [root]);
  const index = JSON.parse(readFileSync(path.join(to, 'index.json'), 'utf8'));
  const manifest = JSON.parse(readFileSync(blob(index.manifests[0].digest), 'utf8'));
  for (const { digest } of manifest.layers) tar(root, '-xf', blob(digest));
  return root;
}

function urlOf({ apiVersion, kind, metadata: { namespace } }: KubernetesObject): string {
  const api = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return `${api}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${kind.toLowerCase()}s`;
}

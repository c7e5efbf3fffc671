/** Something to look at: pods that say their name, and a service in front of them. */
import { DEMO_IMAGE } from './images.ts';

export const DEMO_NAME = 'hello';
export const DEMO_NODE_PORT = 30080;

const LABELS = { app: DEMO_NAME };
export const DEMO_PORT = 8080;

export function demoObjects(replicas: number) {
  const metadata = { name: DEMO_NAME, namespace: 'default', labels: LABELS };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas,
        selector: { matchLabels: LABELS },
        template: { metadata: { labels: LABELS }, spec: podSpec() },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: 'NodePort',
        selector: LABELS,
        ports: (['TCP', 'UDP'] as const).map((protocol) => ({
          name: protocol.toLowerCase(),
          protocol,
          port: 80,
          targetPort: DEMO_PORT,
          nodePort: DEMO_NODE_PORT,
        })),
      },
    },
  ];
}

function podSpec() {
  const name = { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } };
  return {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: LABELS },
      },
    ],
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: DEMO_NAME,
        image: DEMO_IMAGE,
        imagePullPolicy: 'Never',
        env: [name],
        readinessProbe: { httpGet: { path: '/', port: DEMO_PORT }, periodSeconds: 1 },
      },
    ],
  };
}

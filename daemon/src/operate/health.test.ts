import { pino } from 'pino';
import { startHealth } from './health.ts';
import { Readiness } from './readiness.ts';

test('startHealth() answers as flannel does, and says why when not ready', async () => {
  const readiness = new Readiness(['engine'], pino({ level: 'silent' }), () => 0);
  const sources = { readiness, metrics: () => 'flannel_ready 1\n', status: () => ({ ready: true }) };
  const health = await startHealth('127.0.0.1', 0, sources);
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${health.port}${path}`);
    return `${response.status} ${(await response.text()).trim()}`;
  };
  try {
    expect(await get('/healthz')).toBe('200 flanneld is running');
    expect(await get('/readyz')).toBe('503 flanneld is not ready yet\nengine: not yet started (for 0 s)');
    readiness.report('engine', undefined);
    readiness.note('reach', '1 of 5 other nodes does not answer');
    expect(await get('/readyz')).toBe('200 flanneld is ready');
    expect(await get('/readyz?verbose')).toBe('200 flanneld is ready\nreach: 1 of 5 other nodes does not answer');
    expect(await get('/status')).toBe('200 {\n  "ready": true\n}');
    expect(await get('/metrics')).toBe('200 flannel_ready 1');
    expect(await get('/')).toBe('404 not found');
    await expect(startHealth('127.0.0.1', health.port, sources)).rejects.toThrow('Cannot serve /healthz on 127.0.0.1');
  } finally {
    health.close();
  }
});

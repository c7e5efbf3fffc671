import { pino } from 'pino';
import { startHealth } from './health.ts';
import { Readiness } from './readiness.ts';

test('startHealth() answers as flannel does, and says why when not ready', async () => {
  const readiness = new Readiness(['engine'], pino({ level: 'silent' }));
  const health = await startHealth('127.0.0.1', 0, readiness, () => 'flannel_ready 1\n');
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${health.port}${path}`);
    return `${response.status} ${(await response.text()).trim()}`;
  };
  try {
    expect(await get('/healthz')).toBe('200 flanneld is running');
    expect(await get('/readyz')).toBe('503 flanneld is not ready yet\nengine: not yet started');
    readiness.report('engine', undefined);
    expect(await get('/readyz?verbose')).toBe('200 flanneld is ready');
    expect(await get('/metrics')).toBe('200 flannel_ready 1');
    expect(await get('/')).toBe('404 not found');
    await expect(startHealth('127.0.0.1', health.port, readiness, () => '')).rejects.toThrow(
      'Cannot serve /healthz on 127.0.0.1',
    );
  } finally {
    health.close();
  }
});

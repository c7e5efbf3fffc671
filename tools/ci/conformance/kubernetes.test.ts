import { formatResults, parseJunit } from './kubernetes.ts';

const JUNIT = `<?xml version="1.0" encoding="UTF-8"?>
  <testsuites tests="4" disabled="1" errors="0" failures="1" time="9">
      <testsuite name="Kubernetes e2e suite" package="/" tests="4">
          <testcase name="[SynchronizedBeforeSuite]" classname="Kubernetes e2e suite" status="passed" time="0.1"></testcase>
          <testcase name="[It] [sig-network] DNS should provide DNS for services" classname="x" status="passed" time="3"></testcase>
          <testcase name="[It] [sig-apps] Job left out" classname="x" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
          <testcase name="[It] [sig-network] Services should serve" classname="x" status="failed" time="3"><failure/></testcase>
          <testcase name="[It] [sig-network] Proxy should proxy" classname="x" status="timedout" time="3"></testcase>
      </testsuite>
  </testsuites>`;

test('parseJunit() counts the tests that ran, and names those that did not pass', () => {
  const results = parseJunit(JUNIT);
  expect(results).toEqual({
    passed: 1,
    failed: ['[sig-network] Services should serve', '[sig-network] Proxy should proxy'],
  });
  expect(formatResults(results)).toBe(
    '1 passed, 2 failed\n  failed: [sig-network] Services should serve\n  failed: [sig-network] Proxy should proxy',
  );
});

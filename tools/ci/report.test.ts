import { formatReport, type Report } from './report.ts';

const report: Report = {
  stack: 'ci-main-12345678',
  environment: 'local',
  branch: 'main',
  commit: 'c0ffee',
  outcome: 'failed',
  removed: true,
  phases: [
    { name: 'up', outcome: 'passed', seconds: 12.3456 },
    { name: 'conformance', outcome: 'failed', seconds: 2, problem: '1 of 2 checks failed' },
  ],
  checks: [
    { from: 'pod-0-0', to: 'pod-1-0', check: 'ping', milliseconds: 410 },
    { from: 'pod-1-0', to: 'pod-0-0', check: 'mtu', milliseconds: 7, problem: 'a <b> & "c"\nd \u0007' },
  ],
};

test('formatReport() is the report itself as JSON', () => {
  expect(JSON.parse(formatReport(report, 'out/report.json'))).toEqual(report);
});

test("formatReport() counts and names failures in JUnit's XML, with nothing in it that XML cannot hold", () => {
  expect(formatReport(report, 'report.xml')).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="phases" tests="2" failures="1">
    <testcase classname="ci-main-12345678" name="up" time="12.346"/>
    <testcase classname="ci-main-12345678" name="conformance" time="2.000"><failure message="1 of 2 checks failed"/></testcase>
  </testsuite>
  <testsuite name="conformance" tests="2" failures="1">
    <testcase classname="ci-main-12345678.ping" name="pod-0-0 -&gt; pod-1-0: ICMP echo is answered, three times out of three" time="0.410"/>
    <testcase classname="ci-main-12345678.mtu" name="pod-1-0 -&gt; pod-0-0: a packet of the pod's whole MTU passes with Don't Fragment set" time="0.007"><failure message="a &lt;b&gt; &amp; &quot;c&quot;&#10;d ?"/></testcase>
  </testsuite>
</testsuites>
`);
});

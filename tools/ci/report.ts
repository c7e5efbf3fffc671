/** What a run found, for programs. Pure. */
import type { CheckResult } from './conformance/checks.ts';
import { DESCRIPTIONS } from './conformance/checks.ts';
import type { Phase } from './phases.ts';

export interface Report {
  readonly stack: string;
  readonly environment: string;
  readonly branch?: string;
  readonly commit?: string;
  /** `interrupted`: by a signal, and removed all the same. */
  readonly outcome: 'passed' | 'failed' | 'interrupted';
  /** Whether the stack is gone. */
  readonly removed: boolean;
  readonly phases: readonly Phase[];
  readonly checks: readonly CheckResult[];
}

export function formatReport(report: Report, file: string): string {
  return file.endsWith('.xml') ? toJUnit(report) : `${JSON.stringify(report, undefined, 2)}\n`;
}

/** The dialect that CI systems read: a suite for the phases, one for the checks. */
function toJUnit({ stack, phases, checks }: Report): string {
  const phaseCases = phases.map(({ name, seconds, problem }) => testCase(stack, name, seconds, problem));
  const checkCases = checks.map(({ from, to, check, milliseconds, problem }) =>
    testCase(`${stack}.${check}`, `${from} -> ${to}: ${DESCRIPTIONS[check]}`, milliseconds / 1000, problem),
  );
  const suites = [suite('phases', phaseCases, phases), suite('conformance', checkCases, checks)];
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suites, '</testsuites>', ''].join('\n');
}

function suite(name: string, cases: readonly string[], results: readonly { readonly problem?: string }[]): string {
  const failed = results.filter(({ problem }) => problem !== undefined).length;
  const head = `  <testsuite name="${name}" tests="${cases.length}" failures="${failed}">`;
  return [head, ...cases, '  </testsuite>'].join('\n');
}

function testCase(suiteName: string, name: string, seconds: number, problem: string | undefined): string {
  const head = `    <testcase classname="${quote(suiteName)}" name="${quote(name)}" time="${seconds.toFixed(3)}"`;
  return problem === undefined ? `${head}/>` : `${head}><failure message="${quote(problem)}"/></testcase>`;
}

/** XML 1.0 has no way to write most control characters, not even as references. */
function quote(text: string): string {
  const names: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    '\n': '&#10;',
  };
  return text.replaceAll(/[&<>"\n]/g, (sign) => names[sign]!).replaceAll(/[^\t\u0020-\ud7ff\ue000-\ufffd]/gu, '?');
}

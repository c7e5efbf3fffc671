import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { CniError, ErrorCode, messageOf, toCniError } from '../errors.ts';
import type { Owner } from '../ipam/store.ts';
import { objectsField, stringField } from '../json.ts';
import type { Request } from '../protocol.ts';
import { type CniResult, decodePreviousResult, formatResult } from '../result.ts';
import type { Undo } from '../undo.ts';

/** One of the names under which this executable answers. `answer` writes a result; if it throws, an ADD is taken back. */
export type Program = (request: Request, answer: (text: string) => void) => void;

/** What a plugin further down in a chain works on. */
export function requirePrevious(request: Request): CniResult {
  const previous = decodePreviousResult(request.config, request.version);
  if (previous !== undefined) return previous;
  throw new CniError(ErrorCode.invalidNetworkConfig, 'must be called as chained plugin');
}

/** Answers with the result of an ADD, or takes back what it has done. */
export function answerOrUndo(request: Request, undo: Undo, answer: (text: string) => void, add: () => CniResult): void {
  try {
    answer(formatResult(add(), request.version));
  } catch (error) {
    request.deadline.startRollBack();
    const problems = undo.run();
    const { code, message, details } = toCniError(error);
    const all = [details, ...problems.map((problem) => `not taken back: ${problem}`)].filter(Boolean).join('; ');
    throw new CniError(code, message, all, { cause: error });
  }
}

/** The attachments that GC has to leave; undefined where the runtime names none at all, which is no list of nothing. */
export function validAttachments(config: JsonObject): readonly Owner[] | undefined {
  const listed = objectsField(config, 'cni.dev/valid-attachments') ?? objectsField(config, 'cni.dev/attachments');
  return listed?.map((entry) => ({
    containerId: stringField(entry, 'containerID') ?? '',
    ifName: stringField(entry, 'ifname') ?? '',
  }));
}

/** What GC does to each owner that is not valid. One that fails does not keep the others. */
export function collectEach(owners: readonly Owner[], valid: readonly Owner[], collect: (owner: Owner) => void): void {
  const keyOf = ({ containerId, ifName }: Owner): string => `${containerId}:${ifName}`;
  const keep = new Set(valid.map(keyOf));
  const problems: string[] = [];
  for (const owner of owners) {
    if (keep.has(keyOf(owner))) continue;
    try {
      collect(owner);
    } catch (error) {
      problems.push(`${keyOf(owner)}: ${messageOf(error)}`);
    }
  }
  if (problems.length === 0) return;
  throw new CniError(ErrorCode.internal, `could not collect ${problems.length} attachments`, problems.join('; '));
}

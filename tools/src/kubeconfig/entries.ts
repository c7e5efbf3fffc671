/** A stack's cluster among others in the text of a kubeconfig. Pure; what is of others keeps its place, its form and its comments. */
import { isMap, isScalar, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { ToolError } from '../../setup/errors.mjs';

const LISTS = ['clusters', 'users', 'contexts'] as const;
const CURRENT = 'current-context';

type Entry = { readonly name: string };
type Kubeconfig = Readonly<Record<(typeof LISTS)[number], readonly Entry[]>>;

/** With the entries of `added`, each in the place of one that had its name. An empty text is a kubeconfig, too. */
export function withEntries(text: string, added: string): string {
  const document = parse(text);
  const { clusters, users, contexts } = parseDocument(added).toJS() as Kubeconfig;
  for (const [key, value] of Object.entries({ apiVersion: 'v1', kind: 'Config' })) {
    if (!document.has(key)) document.set(key, value);
  }
  for (const [key, entries] of Object.entries({ clusters, users, contexts })) {
    const list = listOf(document, key) ?? newList(document, key);
    for (const entry of entries) {
      const at = indexOf(list, entry.name);
      if (at === -1) list.add(document.createNode(entry));
      else list.set(at, document.createNode(entry));
    }
  }
  if (!document.get(CURRENT)) document.set(CURRENT, contexts[0]!.name);
  return String(document);
}

/** Without what bears the name; undefined if nothing does. */
export function withoutEntries(text: string, name: string): string | undefined {
  const document = parse(text);
  let found = false;
  for (const key of LISTS) {
    const list = listOf(document, key);
    for (let at = list ? indexOf(list, name) : -1; at !== -1; at = indexOf(list!, name)) {
      list!.delete(at);
      found = true;
    }
  }
  if (document.get(CURRENT) === name) {
    document.set(CURRENT, '');
    found = true;
  }
  return found ? String(document) : undefined;
}

export function hasEntries(text: string, name: string): boolean {
  return withoutEntries(text, name) !== undefined;
}

export function currentContext(text: string): string | undefined {
  const current = parse(text).get(CURRENT);
  return typeof current === 'string' && current !== '' ? current : undefined;
}

function parse(text: string) {
  // All values as text: a number is written back as it stands there.
  const document = parseDocument(text, { uniqueKeys: true, schema: 'failsafe' });
  const [error] = document.errors;
  if (error !== undefined) throw invalid(error.message.split('\n')[0]!);
  if (document.contents === null) document.contents = document.createNode({}) as never;
  if (!isMap(document.contents)) throw invalid('it is no object');
  return document as typeof document & { contents: YAMLMap };
}

type Document = ReturnType<typeof parse>;

/** Undefined where there is none, or null, as kubectl writes an empty one. */
function listOf(document: Document, key: string): YAMLSeq | undefined {
  const list = document.get(key, true) as unknown;
  if (list === undefined || list === null || (isScalar(list) && ['', '~', 'null', null].includes(list.value as string)))
    return undefined;
  if (!isSeq(list)) throw invalid(`"${key}" is no list`);
  return list;
}

function newList(document: Document, key: string): YAMLSeq {
  document.set(key, document.createNode([]));
  return document.get(key, true) as unknown as YAMLSeq;
}

function indexOf(list: YAMLSeq, name: string): number {
  list.flow = list.items.length === 0 ? false : list.flow === true; // `[]` is kubectl's empty one, and no form to keep
  return list.items.findIndex((item) => isMap(item) && item.get('name') === name);
}

function invalid(why: string): ToolError {
  return new ToolError('KUBECONFIG', `is no kubeconfig: ${why}`);
}

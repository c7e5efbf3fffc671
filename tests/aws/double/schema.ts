/**
 * The inputs that a provider's resources take, read from the type declarations of its own SDK with TypeScript's parser. So
 * a property that does not exist, or is of another type, is refused here as the real provider does.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { type Bag, FileValue, isBag, Secret, Unknown, type Value } from './values.ts';

export type Shape =
  | { readonly kind: 'string' | 'number' | 'boolean' | 'file' | 'anything' }
  | { readonly kind: 'list' | 'map'; readonly of: Shape }
  | { readonly kind: 'choice'; readonly of: readonly Shape[] }
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'named'; readonly name: string };

export interface Property {
  readonly shape: Shape;
  readonly required: boolean;
}
export type Properties = ReadonlyMap<string, Property>;

export interface Problem {
  /** Like blockDeviceMappings[0].ebs.encrypted */
  readonly property: string;
  readonly reason: string;
}

export class Schema {
  private readonly directory: string;
  private readonly known = new Map<string, Properties | undefined>();
  private nested: string | undefined;

  constructor(private readonly sdk: string) {
    this.directory = dirname(createRequire(__filename).resolve(`${sdk}/package.json`));
  }

  get version(): string {
    return (JSON.parse(readFileSync(join(this.directory, 'package.json'), 'utf8')) as { version: string }).version;
  }

  /** What a resource of this type takes; undefined if the SDK has no such type. "aws:ec2/vpc:Vpc" is VpcArgs of ec2/vpc.d.ts. */
  resource(type: string): Properties | undefined {
    const [, module = '', name = ''] = type.split(':');
    return this.remember(type, () => this.fromFile(module.replace(/^index\//, ''), `${name}Args`));
  }

  /** What the provider itself takes. */
  provider(): Properties {
    return this.remember('provider', () => this.fromFile('provider', 'ProviderArgs'))!;
  }

  /** What is wrong with these inputs; empty if nothing is. */
  check(properties: Properties, inputs: Bag, prefix = ''): Problem[] {
    const missing = [...properties]
      .filter(([key, { required }]) => required && (inputs[key] ?? null) === null)
      .map(([key]) => ({ property: `${prefix}${key}`, reason: 'is required, and was not given' }));
    const wrong = Object.entries(inputs)
      .filter(([key]) => !key.startsWith('__'))
      .flatMap(([key, value]) => {
        const property = properties.get(key);
        if (property !== undefined) return this.checkValue(property.shape, value, `${prefix}${key}`);
        return [{ property: `${prefix}${key}`, reason: `is no property that ${this.sdk} knows here` }];
      });
    return [...missing, ...wrong];
  }

  private checkValue(shape: Shape, value: Value | undefined, path: string): Problem[] {
    if (value instanceof Secret) return this.checkValue(shape, value.value, path);
    if (value === null || value === undefined || value instanceof Unknown) return [];
    const wrong = (expected: string): Problem[] => [
      { property: path, reason: `has to be ${expected}, and is ${describe(value)}` },
    ];
    switch (shape.kind) {
      case 'anything':
        return [];
      case 'string':
      case 'number':
      case 'boolean':
        return typeof value === shape.kind ? [] : wrong(`a ${shape.kind}`);
      case 'literal':
        return value === shape.text ? [] : wrong(JSON.stringify(shape.text));
      case 'file':
        return value instanceof FileValue ? [] : wrong('an asset or an archive');
      case 'list':
        if (!Array.isArray(value)) return wrong('a list');
        return value.flatMap((each: Value, i) => this.checkValue(shape.of, each, `${path}[${i}]`));
      case 'map':
        if (!isBag(value)) return wrong('a map');
        return Object.entries(value).flatMap(([key, each]) => this.checkValue(shape.of, each, `${path}.${key}`));
      case 'choice': {
        const answers = shape.of.map((each) => this.checkValue(each, value, path));
        return answers.some((each) => each.length === 0) ? [] : answers[0]!;
      }
      case 'named': {
        const properties = this.input(shape.name);
        if (properties === undefined) return typeof value === 'string' ? [] : wrong(`a ${shape.name}`);
        return isBag(value) ? this.check(properties, value, `${path}.`) : wrong('an object');
      }
    }
  }

  /** A nested type: "ec2.SubnetTimeouts" of types/input.d.ts. */
  private input(name: string): Properties | undefined {
    if (!name.startsWith('inputs.')) return undefined; // an imported name: an ARN, a policy document, an enumeration
    return this.remember(name, () => {
      const parts = name.split('.').slice(1);
      const text = parts.length === 1 ? this.inputFile() : this.namespace(parts[0]!);
      return propertiesOf(text, parts.at(-1)!);
    });
  }

  private namespace(name: string): string {
    const file = this.inputFile();
    const start = file.indexOf(`export declare namespace ${name} {`);
    return start < 0 ? '' : file.slice(start, file.indexOf('\n}', start) + 2);
  }

  private inputFile(): string {
    this.nested ??= readFileSync(join(this.directory, 'types/input.d.ts'), 'utf8');
    return this.nested;
  }

  private fromFile(module: string, name: string): Properties | undefined {
    try {
      return propertiesOf(readFileSync(join(this.directory, `${module}.d.ts`), 'utf8'), name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  private remember(key: string, make: () => Properties | undefined): Properties | undefined {
    if (!this.known.has(key)) this.known.set(key, make());
    return this.known.get(key);
  }
}

/** Only the interface is parsed: the file of all nested types has 5 MB. */
function propertiesOf(text: string, name: string): Properties | undefined {
  const match = new RegExp(`^( *)(?:export )?interface ${name} \\{`, 'm').exec(text);
  if (match === null) return undefined;
  const end = text.indexOf(`\n${match[1]}}`, match.index);
  const source = ts.createSourceFile(
    'a.d.ts',
    text.slice(match.index, end + match[1]!.length + 2),
    ts.ScriptTarget.ES2022,
  );
  const declaration = source.statements.find(ts.isInterfaceDeclaration);
  const members = declaration?.members.filter(ts.isPropertySignature) ?? [];
  return new Map(
    members.map((member) => [
      member.name.getText(source).replaceAll(/^['"]|['"]$/g, ''),
      { shape: shapeOf(member.type!, source), required: member.questionToken === undefined },
    ]),
  );
}

function shapeOf(type: ts.TypeNode, source: ts.SourceFile): Shape {
  if (ts.isParenthesizedTypeNode(type)) return shapeOf(type.type, source);
  if (ts.isArrayTypeNode(type)) return { kind: 'list', of: shapeOf(type.elementType, source) };
  if (ts.isUnionTypeNode(type))
    return union(type.types.filter((each) => !isUndefined(each)).map((each) => shapeOf(each, source)));
  if (ts.isTypeLiteralNode(type)) {
    const index = type.members.find(ts.isIndexSignatureDeclaration);
    return index === undefined ? { kind: 'anything' } : { kind: 'map', of: shapeOf(index.type, source) };
  }
  if (ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal))
    return { kind: 'literal', text: type.literal.text };
  if (ts.isTypeReferenceNode(type)) return referenceShape(type, source);
  switch (type.kind) {
    case ts.SyntaxKind.StringKeyword:
      return { kind: 'string' };
    case ts.SyntaxKind.NumberKeyword:
      return { kind: 'number' };
    case ts.SyntaxKind.BooleanKeyword:
      return { kind: 'boolean' };
    default:
      return { kind: 'anything' };
  }
}

function referenceShape(type: ts.TypeReferenceNode, source: ts.SourceFile): Shape {
  const name = type.typeName.getText(source);
  if (name === 'pulumi.Input') return shapeOf(type.typeArguments![0]!, source);
  if (name.startsWith('pulumi.asset.')) return { kind: 'file' };
  return { kind: 'named', name };
}

function union(shapes: readonly Shape[]): Shape {
  return shapes.length === 1 ? shapes[0]! : { kind: 'choice', of: shapes };
}

function isUndefined(type: ts.TypeNode): boolean {
  return type.kind === ts.SyntaxKind.UndefinedKeyword;
}

function describe(value: Value): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof FileValue) return 'a file';
  return isBag(value) ? 'an object' : `the ${typeof value} ${JSON.stringify(value)}`;
}

/** User-data for cloud-init. Pure. */
import { InfraError } from '../../errors.ts';
import type { BootFile } from '../../node/files.ts';

/** EC2's limit, for the text before it is encoded in base64. */
export const MAX_USER_DATA_BYTES = 16_384;

export interface CloudConfig {
  /** One line: whose user-data it is. */
  readonly title: string;
  readonly files: readonly BootFile[];
  /** Run once, as root, when the files are there. */
  readonly commands: readonly (readonly string[])[];
}

/** Throws an InfraError when EC2 would refuse the text for its size. */
export function renderCloudConfig({ title, files, commands }: CloudConfig): string {
  const text = [
    '#cloud-config',
    `# ${title}`,
    'write_files:',
    ...files.flatMap(renderFile),
    'runcmd:',
    ...commands.map((command) => `  - [${command.map(quoted).join(', ')}]`),
    '',
  ].join('\n');
  const size = Buffer.byteLength(text);
  if (size > MAX_USER_DATA_BYTES) {
    const largest = [...files].sort((a, b) => b.content.length - a.content.length)[0];
    throw new InfraError(
      'USER_DATA_TOO_LARGE',
      `User-data of ${title} is ${size} bytes, EC2 takes ${MAX_USER_DATA_BYTES}: shorten ${largest?.path ?? 'the commands'}, which is the largest part`,
    );
  }
  return text;
}

function renderFile({ path, mode, content }: BootFile): string[] {
  const lines = content.replace(/\n$/, '').split('\n');
  return [
    `  - path: ${path}`,
    `    permissions: '${mode}'`,
    '    content: |',
    ...lines.map((line) => (line === '' ? '' : `      ${line}`)),
  ];
}

/** A YAML flow scalar; JSON's strings are a subset. */
function quoted(word: string): string {
  return /^[a-z][\w./-]*$/i.test(word) ? word : JSON.stringify(word);
}

/** A tar archive of texts in one directory, in the format ustar (POSIX pax(1)). Pure. */

export interface TextFile {
  /** Of letters, digits, dots and dashes. */
  readonly name: string;
  readonly text: string;
}

const BLOCK = 512;
/** Archives end with two blocks of zeros. */
const END = Buffer.alloc(2 * BLOCK);
/** Of the name, which has a field of 100 bytes. */
const MOST_NAME_BYTES = 100;

export function tarOf(directory: string, files: readonly TextFile[], seconds: number): Buffer {
  const parts = files.flatMap(({ name, text }) => {
    const content = Buffer.from(text);
    const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
    return [headerOf(`${directory}/${name}`, content.length, seconds), content, padding];
  });
  return Buffer.concat([...parts, END]);
}

/** For root alone to read when it is unpacked. */
function headerOf(name: string, size: number, seconds: number): Buffer {
  if (Buffer.byteLength(name) > MOST_NAME_BYTES) throw new RangeError(`The name ${name} is too long for an archive`);
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), offset);
  };
  header.write(name, 0);
  octal(0o600, 100, 7);
  octal(0, 108, 7); // uid
  octal(0, 116, 7); // gid
  octal(size, 124, 11);
  octal(seconds, 136, 11);
  header.write(' '.repeat(8), 148); // the checksum counts itself as blanks
  header.write('0', 156); // a regular file
  header.write('ustar\u000000', 257);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  header[154] = 0;
  return header;
}

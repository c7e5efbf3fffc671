/**
 * Regular expressions as users of flannel write them, in Go's syntax (RE2), as JavaScript's. What means the same in both is
 * translated; what JavaScript cannot express is refused by name, since another meaning would choose another interface.
 */

export interface Pattern {
  /** As it was written. */
  readonly source: string;
  test(text: string): boolean;
}

/** Throws an error whose message says what is not supported and what to write instead. */
export function parseGoRegExp(source: string): Pattern {
  const [, letters = '', rest = ''] = /^(?:\(\?([a-zA-Z]+)\))?([\s\S]*)$/.exec(source)!;
  for (const letter of letters) {
    if (!'ims'.includes(letter)) throw new Error(`the flag ${letter} in (?${letters}) is not supported: use i, m or s`);
  }
  const pattern = new RegExp(new Translator(rest).run(), [...new Set(letters)].join(''));
  return { source, test: (text) => pattern.test(text) };
}

/** regexp/syntax, of ASCII alone. */
const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7F',
  blank: '\\t ',
  cntrl: '\\x00-\\x1F\\x7F',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};

/** Escapes with the same meaning in both, and punctuation, which stands for itself. */
const SAME_ESCAPE = /^(?:[dDwWbBfnrtv]|[^0-9A-Za-z])$/;
const SPACE = '\\t\\n\\f\\r '; // Go's \s, which is less than JavaScript's

class Translator {
  private at = 0;

  constructor(private readonly source: string) {}

  run(): string {
    let out = '';
    while (this.at < this.source.length) out += this.next();
    return out;
  }

  private next(): string {
    if (this.take('\\Q')) return this.quoted();
    if (this.source[this.at] === '\\') return this.escape(false);
    if (this.source[this.at] === '[') return this.characterClass();
    if (this.take('(?P<')) return '(?<';
    const group = /^\(\?([a-zA-Z-]+)([):])/.exec(this.rest);
    if (group !== null) {
      throw new Error(`${group[0]} in the middle is not supported: write flags at the beginning, like (?i)`);
    }
    return this.source[this.at++]!;
  }

  private quoted(): string {
    const end = this.source.indexOf('\\E', this.at);
    const text = this.source.slice(this.at, end < 0 ? undefined : end);
    this.at = end < 0 ? this.source.length : end + 2;
    return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  }

  private escape(inClass: boolean): string {
    this.at++; // the backslash
    const hex = /^x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,4})\})/.exec(this.rest);
    if (hex !== null) {
      this.at += hex[0].length;
      return `\\u${(hex[1] ?? hex[2]!).padStart(4, '0')}`;
    }
    const letter = this.source[this.at++];
    if (letter === undefined) throw new Error('it ends with a backslash');
    if (letter === 'A' && !inClass) return '(?<![\\s\\S])';
    if (letter === 'z' && !inClass) return '(?![\\s\\S])';
    if (letter === 'a') return '\\x07';
    if (letter === 's') return inClass ? SPACE : `[${SPACE}]`;
    if (letter === 'S' && !inClass) return `[^${SPACE}]`;
    if (SAME_ESCAPE.test(letter) && !(inClass && /[bB]/.test(letter))) return `\\${letter}`;
    throw new Error(`\\${letter}${inClass ? ' in brackets' : ''} is not supported`);
  }

  /** `[]a]` and `[^]a]` hold a bracket: a class is never empty. */
  private characterClass(): string {
    this.at++;
    let out = this.take('^') ? '[^' : '[';
    if (this.take(']')) out += '\\]';
    while (!this.take(']')) {
      if (this.at >= this.source.length) throw new Error('a bracket [ is not closed');
      out += this.inClass();
    }
    return `${out}]`;
  }

  private inClass(): string {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.rest);
    if (posix !== null) {
      const members = POSIX_CLASSES[posix[2]!];
      if (members === undefined) throw new Error(`there is no class ${posix[0]}`);
      if (posix[1] === '^') throw new Error(`${posix[0]} is not supported: write [^[:${posix[2]}:]]`);
      this.at += posix[0].length;
      return members;
    }
    if (this.source[this.at] === '\\') return this.escape(true);
    const letter = this.source[this.at++]!;
    return letter === '[' ? '\\[' : letter;
  }

  private get rest(): string {
    return this.source.slice(this.at);
  }

  private take(text: string): boolean {
    if (!this.source.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }
}

import { RuntimeError } from '@gantry/errors';
import type { TerminalSize } from './session.ts';

const maxObjectBytes = 1024;
const maxCells = 65_535;

/**
 * Takes sizes out of a stream of JSON objects, one behind the other, cut
 * anywhere. Go writes `{"Width":80,"Height":24}` and reads keys of any case,
 * and clients in other languages rely on that.
 */
export class ResizeDecoder {
  #rest = '';

  /** Sizes below 1 cell are left out. Throws `invalid-argument` when it is not such a stream. */
  push(bytes: Buffer): TerminalSize[] {
    const sizes: TerminalSize[] = [];
    this.#rest += bytes.toString('latin1');
    for (;;) {
      this.#rest = this.#rest.trimStart();
      if (this.#rest !== '' && !this.#rest.startsWith('{')) {
        throw malformed(this.#rest);
      }
      const end = this.#rest.indexOf('}') + 1;
      if (end === 0) {
        if (this.#rest.length > maxObjectBytes) {
          throw malformed(this.#rest);
        }
        return sizes;
      }
      const size = parseSize(this.#rest.slice(0, end));
      if (size.width >= 1 && size.height >= 1) {
        sizes.push(size);
      }
      this.#rest = this.#rest.slice(end);
    }
  }
}

function parseSize(text: string): TerminalSize {
  const size = { width: 0, height: 0 };
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch {
    throw malformed(text);
  }
  for (const [key, value] of Object.entries(object as object) as [string, unknown][]) {
    const name = key.toLowerCase();
    if (name !== 'width' && name !== 'height') {
      continue;
    }
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > maxCells) {
      throw malformed(text);
    }
    size[name] = value;
  }
  return size;
}

function malformed(text: string): RuntimeError {
  return new RuntimeError(
    'invalid-argument',
    `malformed terminal size: ${JSON.stringify(text.slice(0, 80))}`,
  );
}

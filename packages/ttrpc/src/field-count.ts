import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { RuntimeError } from '@gantry/errors';

/** Far above what a request or a response needs around its payload: its metadata. */
export const maxEnvelopeFields = 10_000;

/** Of an entry of a map, the field with the value. */
const mapValueNumber = 2;

/**
 * Throws `resource-exhausted` for a message of more fields than `most`, those of
 * messages in it counted too. Two bytes are enough for an empty message in a list,
 * which takes a hundred times as much once it is parsed: 4 MiB of them take a
 * parser seconds and hundreds of MiB. What is no message passes: its parser says why.
 */
export function checkFieldCount(schema: DescMessage, bytes: Uint8Array, most: number): void {
  try {
    new FieldCounter(most).countMessage(schema, bytes);
  } catch (error) {
    if (error instanceof RuntimeError) {
      throw error;
    }
  }
}

class FieldCounter {
  readonly #most: number;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  countMessage({ fields }: DescMessage, bytes: Uint8Array): void {
    this.#walk(bytes, (number, value) => {
      const field = fields.find((one) => one.number === number);
      if (field?.message !== undefined) {
        this.#countNested(field, field.message, value);
      }
    });
  }

  #countNested(field: DescField, message: DescMessage, value: Uint8Array): void {
    if (field.fieldKind !== 'map') {
      this.countMessage(message, value);
      return;
    }
    this.#walk(value, (number, ofEntry) => {
      if (number === mapValueNumber) {
        this.countMessage(message, ofEntry);
      }
    });
  }

  #walk(bytes: Uint8Array, onBytes: (number: number, value: Uint8Array) => void): void {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (++this.#count > this.#most) {
        throw new RuntimeError('resource-exhausted', `more than ${this.#most} fields`);
      }
      if (type === WireType.LengthDelimited) {
        onBytes(number, reader.bytes());
      } else {
        reader.skip(type, number);
      }
    }
  }
}

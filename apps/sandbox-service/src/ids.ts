import { randomBytes } from 'node:crypto';
import { RuntimeError } from '@gantry/errors';

/** 64 lower-case hex digits. Never used twice. */
export type ObjectId = string & { readonly __brand: 'ObjectId' };

/** A whole id or the beginning of one: 1 to 64 lower-case hex digits. */
export type IdPrefix = string & { readonly __brand: 'IdPrefix' };

const whole = /^[0-9a-f]{64}$/;
const partial = /^[0-9a-f]{1,64}$/;

export function newId(): ObjectId {
  return randomBytes(32).toString('hex') as ObjectId;
}

export function isObjectId(text: string): text is ObjectId {
  return whole.test(text);
}

/** Undefined where no id can begin like this; throws `invalid-argument` when `text` is empty. */
export function parsePrefix(what: string, text: string): IdPrefix | undefined {
  if (text === '') {
    throw new RuntimeError('invalid-argument', `${what} id: must not be empty`);
  }
  return partial.test(text) ? (text as IdPrefix) : undefined;
}

/** Twelve digits are enough for people. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

const longest = 100;

/**
 * A client's text as it stands in a message: in quotes, with control characters
 * escaped, and cut where it is longer than a reader wants.
 */
export function quote(text: string): string {
  return text.length <= longest
    ? JSON.stringify(text)
    : `${JSON.stringify(text.slice(0, longest))}... (${text.length} letters)`;
}

/** A client's id as it stands in a message: what an id may look like as it is, anything else in quotes. */
export function shownId(text: string): string {
  return /^[\w.-]{1,64}$/.test(text) ? text : quote(text);
}

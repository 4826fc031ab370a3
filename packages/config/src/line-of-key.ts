const part = /"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+/;
const dotted = new RegExp(`(?:${part.source})(?:\\s*\\.\\s*(?:${part.source}))*`);
const header = new RegExp(`^\\s*\\[\\[?\\s*(${dotted.source})\\s*\\]`);
const assignment = new RegExp(`^\\s*(${dotted.source})\\s*=`);

/**
 * The line, from 1 on, at which a key of a TOML text stands; where it stands inside of something
 * on one line, the line of that. Undefined where there is nothing of it. The text has been parsed
 * without a fault.
 */
export function lineOfKey(text: string, path: readonly string[]): number | undefined {
  let best: { readonly line: number; readonly depth: number } | undefined;
  for (const [line, found] of keysByLine(text)) {
    // Tables may be there by a key or table inside of them alone.
    const depth = Math.min(found.length, path.length);
    const isOnTheWay = found.slice(0, depth).every((step, i) => step === path[i]);
    if (isOnTheWay && depth > (best?.depth ?? 0)) {
      best = { line, depth };
    }
  }
  return best?.line;
}

/** The path of each key and each head of a table, with its line. */
function* keysByLine(text: string): Generator<readonly [number, readonly string[]]> {
  let table: string[] = [];
  let open: string | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const isInString = open !== undefined;
    open = openString(line, open);
    const [, head] = (isInString ? null : header.exec(line)) ?? [];
    const [, key] = (isInString ? null : assignment.exec(line)) ?? [];
    if (head !== undefined) {
      table = partsOf(head);
      yield [index + 1, table];
    } else if (key !== undefined) {
      yield [index + 1, [...table, ...partsOf(key)]];
    }
  }
}

function partsOf(name: string): string[] {
  const parts = name.match(new RegExp(part, 'g')) ?? [];
  return parts.map((text) => (/^["']/.test(text) ? text.slice(1, -1) : text));
}

/** Which quotes of a string over several lines are open at the end of a line. */
function openString(line: string, open: string | undefined): string | undefined {
  let quotes = open;
  for (const [found] of line.matchAll(/"""|'''/g)) {
    if (quotes === undefined) {
      quotes = found;
    } else if (quotes === found) {
      quotes = undefined;
    }
  }
  return quotes;
}

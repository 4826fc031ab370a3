/**
 * What a container has written, out of its log in the format of the CRI. A program that writes piece by
 * piece leaves partial lines (P), which are put together.
 */
export function textOfLog(log: string): string {
  return log.replace(/^\S+ std(?:out|err) ([FP]) (.*\n)/gm, (_line, tag: string, text: string) =>
    tag === 'P' ? text.slice(0, -1) : text,
  );
}

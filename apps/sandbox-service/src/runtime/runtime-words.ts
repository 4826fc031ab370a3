/**
 * What an OCI runtime says about a failure, without its log's dressing: runc writes logfmt lines
 * (`time=... level=error msg="..."`) when it logs to stderr, crun and others plain text. Bytes that
 * would break a one-line message are taken out, and it is cut at 2,000 characters.
 */
export function runtimeWords(output: string): string {
  const lines = output.split('\n').map((line) => line.trim());
  const errors = lines.flatMap((line) => {
    const match = /\blevel=(?:error|fatal|panic)\b.*?\bmsg=("(?:[^"\\]|\\.)*"|\S+)/.exec(line);
    return match?.[1] === undefined ? [] : [unquote(match[1])];
  });
  const words = errors.length > 0 ? errors : lines.filter((line) => !/\blevel=\w+ /.test(line));
  return words
    .filter((line) => line !== '')
    .join('; ')
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 2000);
}

function unquote(text: string): string {
  if (!text.startsWith('"')) {
    return text;
  }
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

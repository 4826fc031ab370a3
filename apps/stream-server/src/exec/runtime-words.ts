const maxLength = 4096;
/** What crun puts around a line on a terminal: a colour, and the time. */
const colour = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
const time = /^\d{4}-\d\d-\d\dT[\d:.]+Z: /;

/**
 * Why a runtime could not start a process, from its stderr: the message of
 * its last line of log (runc writes logrus text or JSON), else all it wrote.
 */
export function runtimeWords(stderr: string): string {
  const lines = stderr
    .split(/\r?\n/)
    .map((line) => line.replace(colour, '').replace(time, ''))
    .filter((line) => line.trim() !== '');
  const told = lines.map(messageOfLine).filter((message) => message !== undefined);
  return (told.at(-1) ?? lines.join('; ')).trim().slice(0, maxLength);
}

function messageOfLine(line: string): string | undefined {
  const quoted = /\blevel=(?:error|fatal)\b.*?\bmsg=("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
  if (quoted !== undefined) {
    const text = parse(quoted);
    return typeof text === 'string' ? text : quoted;
  }
  const record = line.startsWith('{') ? parse(line) : undefined;
  return typeof record === 'object' &&
    record !== null &&
    'msg' in record &&
    typeof record.msg === 'string'
    ? record.msg
    : undefined;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

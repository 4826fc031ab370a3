import type { SpanTree, TraceTree } from './read-traces.ts';

export interface FormatOptions {
  /** Columns of the terminal; 120 when left out. */
  readonly width?: number;
  /** Use escape codes: failed spans in red, attributes dim. Off when left out. */
  readonly color?: boolean;
}

interface Line {
  readonly span: SpanTree;
  readonly label: string;
  readonly indent: string;
}

const barWidth = 28;
const shortestBarPart = '▏';

/**
 * Draws a trace for a terminal: one line a span with its service, a bar that
 * shows when it ran, its milliseconds, and below it what went wrong.
 */
export function formatTrace(trace: TraceTree, options: FormatOptions = {}): string {
  const { width = 120, color = false } = options;
  const paint = (code: string, text: string): string =>
    color && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text;
  const lines = trace.roots.flatMap((root) => toLines(root, '', ''));
  const services = Math.max(0, ...lines.map((l) => l.span.service.length));
  const labels = Math.min(
    Math.max(0, ...lines.map((l) => l.label.length)),
    Math.max(24, width - services - barWidth - 24),
  );

  const out = [heading(trace, paint)];
  for (const { span, label, indent } of lines) {
    const left = `${column(label, labels)}  ${span.service.padEnd(services)}  ${bar(span, trace)} ${milliseconds(span.durationMs).padStart(9)}`;
    const room = width - left.length - 2;
    const notes = room > 8 ? clip(describe(span), room) : '';
    const text = span.failed ? paint('31', left) : left;
    out.push(`${text}${notes === '' ? '' : `  ${paint('2', notes)}`}`.trimEnd());
    if (span.failed && span.message !== '' && !isToldBelow(span)) {
      out.push(paint('31', `${indent}  ! ${span.message}`));
    }
  }
  return `${out.join('\n')}\n`;
}

function heading(trace: TraceTree, paint: (code: string, text: string) => string): string {
  const name = trace.roots[0]?.name ?? 'trace';
  const verdict = verdictOf(trace) === 'failed' ? paint('31', 'failed') : verdictOf(trace);
  const at = new Date(trace.startMs).toISOString();
  return `${paint('1', shortName(name))}  ${milliseconds(trace.durationMs).trim()}  ${verdict}  ${at}  trace ${trace.traceId}`;
}

/** A step may fail and the whole do well: a mirror is passed over, a lookup is tried again. */
function verdictOf({ failed, roots }: TraceTree): string {
  if (roots.some((root) => root.failed)) {
    return 'failed';
  }
  return failed ? 'ok, though a step failed' : 'ok';
}

function toLines(span: SpanTree, branch: string, below: string): Line[] {
  const lines: Line[] = [{ span, label: `${branch}${shortName(span.name)}`, indent: below }];
  const children = withoutEchoes(span);
  for (const [i, child] of children.entries()) {
    const isLast = i === children.length - 1;
    lines.push(
      ...toLines(child, `${below}${isLast ? '└ ' : '├ '}`, `${below}${isLast ? '  ' : '│ '}`),
    );
  }
  return lines;
}

/** A request that its service only sends on makes two spans of one name: one line tells it all. */
function withoutEchoes(span: SpanTree): readonly SpanTree[] {
  return span.children.flatMap((child) =>
    child.name === span.name && child.service === span.service ? withoutEchoes(child) : [child],
  );
}

/** The package and service of a method say nothing that the service column does not. */
function shortName(name: string): string {
  return name.replace(/(?:[\w]+\.)+\w+\/(?=\w)/, '');
}

// The same sentence on every level up to the gateway would bury the place where it arose.
function isToldBelow(span: SpanTree): boolean {
  return withoutEchoes(span).some((child) => child.failed && child.message !== '');
}

function bar(span: SpanTree, trace: TraceTree): string {
  const scale = trace.durationMs > 0 ? barWidth / trace.durationMs : 0;
  const start = clamp(Math.floor((span.startMs - trace.startMs) * scale), 0, barWidth - 1);
  const length = clamp(Math.round(span.durationMs * scale), 0, barWidth - start);
  const drawn = length === 0 ? shortestBarPart : '█'.repeat(length);
  return `${' '.repeat(start)}${drawn}`.padEnd(barWidth);
}

function milliseconds(value: number): string {
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

const boring = /^(gantry\.|rpc\.|messaging\.|network\.|server\.|thread\.|error\.type$)/;

/** The attributes that tell one span from another of its name, as key=value. */
function describe(span: SpanTree): string {
  return Object.entries(span.attributes)
    .filter(([key, value]) => !boring.test(key) && value !== '')
    .map(([key, value]) => `${key.slice(key.lastIndexOf('.') + 1)}=${shortValue(value)}`)
    .join(' ');
}

function shortValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // 64 hex digits: the first 13 are what every other tool shows.
  return text.replace(/^(sha256:)?([0-9a-f]{13})[0-9a-f]{51}$/, '$1$2');
}

function column(text: string, width: number): string {
  return clip(text, width).padEnd(width);
}

function clip(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

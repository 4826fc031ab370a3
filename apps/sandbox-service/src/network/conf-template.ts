import { RuntimeError } from '@gantry/errors';

/** What a template of a network configuration can name, as in containerd. */
export interface TemplateFields {
  readonly PodCIDR: string;
  readonly PodCIDRRanges: readonly string[];
  /** A default route for each family of the ranges. */
  readonly Routes: readonly string[];
}

/*
 * The part of Go's text/template that such templates use: `{{.Field}}`,
 * `{{range .List}}`, `{{range $i, $x := .List}}`, `{{if}}`, `{{else}}`, `{{end}}`,
 * variables, `.`, comments, and the trim marks `{{-` and `-}}`.
 */
type Value = string | number | readonly string[];

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly name: string }
  | {
      readonly kind: 'block';
      readonly verb: 'range' | 'if';
      readonly names: readonly string[];
      readonly over: string;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

type Scope = ReadonlyMap<string, Value>;

/** Fills in a template. Throws `failed-precondition` with the first part that is not understood. */
export function renderTemplate(template: string, fields: TemplateFields): string {
  const tokens = tokensOf(template);
  const nodes = parse(tokens, []);
  const rest = tokens.shift();
  if (rest !== undefined) {
    throw unknown(rest.text);
  }
  const scope = new Map<string, Value>(
    Object.entries(fields).map(([name, value]) => [`.${name}`, value as Value]),
  );
  return render(nodes, scope);
}

interface Token {
  readonly isAction: boolean;
  readonly text: string;
}

function tokensOf(template: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (const match of template.matchAll(/(\s*\{\{-\s|\{\{)(.*?)(\s-\}\}\s*|\}\})/gs)) {
    tokens.push({ isAction: false, text: template.slice(at, match.index) });
    tokens.push({ isAction: true, text: (match[2] ?? '').trim() });
    at = match.index + match[0].length;
  }
  tokens.push({ isAction: false, text: template.slice(at) });
  return tokens;
}

/** Takes tokens up to one of `ends`, or all of them. */
function parse(tokens: Token[], ends: readonly string[]): Node[] {
  const nodes: Node[] = [];
  for (;;) {
    const [token] = tokens;
    if (token === undefined || (token.isAction && ends.includes(token.text))) {
      return nodes;
    }
    tokens.shift();
    const node = token.isAction
      ? parseAction(token.text, tokens)
      : ({ kind: 'text', text: token.text } as const);
    if (node !== undefined) {
      nodes.push(node);
    }
  }
}

const name = /^(?:\.|\.\w+|\$\w+)$/;
const block = /^(range|if)\s+(?:(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=\s*)?(\.|\.\w+|\$\w+)$/;

function parseAction(text: string, tokens: Token[]): Node | undefined {
  if (/^\/\*.*\*\/$/s.test(text)) {
    return undefined;
  }
  if (name.test(text)) {
    return { kind: 'value', name: text };
  }
  const [, verb, first, second, over] = block.exec(text) ?? [];
  if ((verb !== 'range' && verb !== 'if') || over === undefined) {
    throw unknown(text);
  }
  const body = parse(tokens, ['else', 'end']);
  const hasElse = tokens[0]?.text === 'else';
  if (hasElse) {
    tokens.shift();
  }
  const otherwise = hasElse ? parse(tokens, ['end']) : [];
  if (tokens.shift() === undefined) {
    throw unknown(`${text}}} without {{end`);
  }
  const names = [first, second].filter((n) => n !== undefined);
  return { kind: 'block', verb, names, over, body, otherwise };
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderOne(node, scope)).join('');
}

function renderOne(node: Node, scope: Scope): string {
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'value':
      return String(lookUp(node.name, scope));
    case 'block':
      return renderBlock(node, scope);
  }
}

function renderBlock(node: Extract<Node, { kind: 'block' }>, scope: Scope): string {
  const value = lookUp(node.over, scope);
  if (node.verb === 'if') {
    const isTrue = Array.isArray(value) ? value.length > 0 : Boolean(value);
    return render(isTrue ? node.body : node.otherwise, scope);
  }
  if (!Array.isArray(value)) {
    throw unknown(`range ${node.over}`);
  }
  const items = value as readonly string[];
  if (items.length === 0) {
    return render(node.otherwise, scope);
  }
  const [first, second] = node.names;
  return items
    .map((item, index) => {
      const inner = new Map(scope).set('.', item);
      if (second !== undefined && first !== undefined) {
        inner.set(first, index).set(second, item);
      } else if (first !== undefined) {
        inner.set(first, item);
      }
      return render(node.body, inner);
    })
    .join('');
}

function lookUp(what: string, scope: Scope): Value {
  const value = scope.get(what);
  if (value === undefined) {
    throw unknown(what);
  }
  return value;
}

function unknown(what: string): RuntimeError {
  return new RuntimeError('failed-precondition', `template: {{${what}}} is not understood`);
}

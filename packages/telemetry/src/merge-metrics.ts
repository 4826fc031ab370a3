interface Family {
  readonly comments: string[];
  readonly samples: Set<string>;
}

/**
 * Joins Prometheus texts of several instances into one valid page: HELP and
 * TYPE once for each family, its samples together, a sample that is told twice
 * only once.
 */
export function mergeMetrics(texts: readonly string[]): string {
  const families = new Map<string, Family>();
  for (const text of texts) {
    addText(families, text);
  }
  let page = '';
  for (const { comments, samples } of families.values()) {
    if (samples.size > 0) {
      page += `${[...comments, ...samples].join('\n')}\n`;
    }
  }
  return page;
}

function addText(families: Map<string, Family>, text: string): void {
  let current: Family | undefined;
  for (const line of text.split('\n')) {
    const [, keyword, name] = /^# (HELP|TYPE) (\S+)/.exec(line) ?? [];
    if (keyword !== undefined && name !== undefined) {
      current = families.get(name) ?? { comments: [], samples: new Set() };
      families.set(name, current);
      if (!current.comments.some((c) => c.startsWith(`# ${keyword} `))) {
        current.comments.push(line);
      }
    } else if (line.trim() !== '' && !line.startsWith('#')) {
      // A histogram's _bucket, _sum and _count stand below the TYPE of their family.
      (current ?? untyped(families, line)).samples.add(line);
    }
  }
}

function untyped(families: Map<string, Family>, line: string): Family {
  const name = /^[^\s{]+/.exec(line)?.[0] ?? line;
  const family = families.get(name) ?? { comments: [], samples: new Set<string>() };
  families.set(name, family);
  return family;
}

type Table = Readonly<Record<string, unknown>>;

/**
 * The settings of a containerd config by their path, which remembers what has been read, so that
 * the rest can be told. Each path is tried under several plugins: their names changed over the versions.
 */
export class ContainerdSettings {
  readonly #root: Table;
  readonly #taken = new Set<string>();

  constructor(root: Table) {
    this.#root = root;
  }

  /** The value at the first of `paths` that is there. */
  take(...paths: readonly (readonly string[])[]): unknown {
    return this.#take(paths, (value) => value !== undefined);
  }

  /** One that is not empty. What is no string is left to be told. */
  takeString(...paths: readonly (readonly string[])[]): string | undefined {
    const value = this.#take(paths, (found) => typeof found === 'string');
    return value === '' ? undefined : (value as string | undefined);
  }

  takeBoolean(...paths: readonly (readonly string[])[]): boolean | undefined {
    return this.#take(paths, (found) => typeof found === 'boolean') as boolean | undefined;
  }

  #take(paths: readonly (readonly string[])[], isWanted: (value: unknown) => boolean): unknown {
    let found: unknown;
    for (const path of paths) {
      const value = valueAt(this.#root, path);
      if (isWanted(value)) {
        this.#taken.add(path.join('\0'));
        found ??= value;
      }
    }
    return found;
  }

  /** The names of the tables below the first of `paths` that is there; it takes nothing. */
  tables(...paths: readonly (readonly string[])[]): string[] {
    for (const path of paths) {
      const value = valueAt(this.#root, path);
      if (isTable(value)) {
        return Object.keys(value).filter((name) => isTable(value[name]));
      }
    }
    return [];
  }

  /** Whether anything below one of `prefixes` is left. */
  hasRest(...prefixes: readonly (readonly string[])[]): boolean {
    return prefixes.some((prefix) => this.rest(prefix).length > 0);
  }

  /** The settings below `prefix` that nobody took and that say something: not empty, zero or false. */
  rest(prefix: readonly string[]): { readonly path: string; readonly value: unknown }[] {
    const found: { path: string; value: unknown }[] = [];
    const walk = (value: unknown, path: readonly string[]): void => {
      if (isTable(value)) {
        for (const [name, inner] of Object.entries(value)) {
          walk(inner, [...path, name]);
        }
      } else if (!this.#taken.has(path.join('\0')) && saysSomething(value)) {
        found.push({ path: path.map(quoted).join('.'), value });
      }
    };
    walk(valueAt(this.#root, prefix), prefix);
    return found;
  }
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let value: unknown = root;
  for (const name of path) {
    value = isTable(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return value;
}

function saysSomething(value: unknown): boolean {
  return Array.isArray(value)
    ? value.length > 0
    : value !== undefined && value !== '' && value !== 0 && value !== 0n && value !== false;
}

function quoted(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
}

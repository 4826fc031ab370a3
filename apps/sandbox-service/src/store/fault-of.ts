/** What both kinds of records have at least. */
interface Read {
  readonly config: { readonly metadata?: unknown };
  readonly facts: { readonly name?: unknown; readonly handler?: unknown } | null;
}

/** Why a record can't be used: what reading it throws, or that its most needed parts are not there. */
export function faultOf(read: () => Read): unknown {
  try {
    const { config, facts } = read();
    const isWhole = typeof facts?.name === 'string' && typeof facts.handler === 'string';
    return isWhole && config.metadata !== undefined ? undefined : new Error('parts are missing');
  } catch (error) {
    return error ?? new Error('nothing was said');
  }
}

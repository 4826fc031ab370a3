/** What a registry wants, from its WWW-Authenticate header (RFC 9110 section 11.6.1). */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string;
      readonly scope: string;
    };

/** The challenge that we can meet, bearer before basic; undefined when there is none. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const bearer = /(?:^|,)\s*bearer\s+(.*)$/i.exec(header ?? '')?.[1];
  if (bearer !== undefined) {
    const parameters = parametersOf(bearer);
    const realm = parameters.get('realm') ?? '';
    if (realm !== '') {
      const service = parameters.get('service') ?? '';
      return { scheme: 'bearer', realm, service, scope: parameters.get('scope') ?? '' };
    }
  }
  return /(?:^|,)\s*basic(\s|$)/i.test(header ?? '') ? { scheme: 'basic' } : undefined;
}

function parametersOf(text: string): Map<string, string> {
  const pattern = /([a-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi;
  return new Map(
    [...text.matchAll(pattern)].map(([, name = '', quoted, bare]) => [
      name.toLowerCase(),
      quoted === undefined ? (bare ?? '') : quoted.replaceAll(/\\(.)/g, '$1'),
    ]),
  );
}

import type { OciSpec } from '@gantry/oci';
import {
  type HookFile,
  type HookSubject,
  hookApplies,
  parseHookFile,
  withHook,
} from '@gantry/oci-spec';
import { type Document, readDocuments } from './read-documents.ts';

/**
 * A spec with the hooks of `directories` (oci-hooks(5)) that apply to a container,
 * in the order of their file names. A file takes the place of one of the same name
 * in an earlier directory. Any broken file fails every container: it may hold what
 * guards them.
 */
export async function withHooks(
  spec: OciSpec,
  subject: HookSubject,
  directories: readonly string[],
): Promise<OciSpec> {
  const files = new Map<string, Document>();
  for (const directory of directories) {
    for (const document of await readDocuments(directory, ['.json'])) {
      files.set(document.name, document);
    }
  }
  return [...files.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(hookFileOf)
    .filter((file) => hookApplies(file, subject))
    .reduce((before, { stages, hook }) => withHook(before, stages, hook), spec);
}

function hookFileOf({ path, content, fault }: Document): HookFile {
  if (fault !== undefined) {
    throw fault;
  }
  return parseHookFile(content, `hook file ${path}`);
}

import { messageOf, RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import {
  applyCdiEdits,
  type CdiDeviceName,
  type CdiDirectory,
  editsOf,
  type FoundNode,
  nodesToFind,
  parseCdiSpec,
} from '@gantry/oci-spec';
import { deviceAt } from './host-devices.ts';
import { readDocuments } from './read-documents.ts';

/**
 * A spec with CDI devices, as the files of `directories` describe them now; a
 * later directory counts more. Broken files keep only those containers from
 * being made that ask for a device that no other file has; the error names them.
 */
export async function withCdiDevices(
  spec: OciSpec,
  names: readonly CdiDeviceName[],
  directories: readonly string[],
): Promise<OciSpec> {
  if (names.length === 0) {
    return spec;
  }
  const faults: string[] = [];
  const read = await Promise.all(
    directories.map((directory) => readCdiDirectory(directory, faults)),
  );
  try {
    const edits = editsOf(names, read);
    const found = new Map<string, FoundNode>();
    for (const path of nodesToFind(edits)) {
      const node = await deviceAt(path, { follow: true });
      if (node !== undefined) {
        found.set(path, node);
      }
    }
    return applyCdiEdits(spec, edits, found);
  } catch (cause) {
    if (faults.length === 0 || !(cause instanceof RuntimeError)) {
      throw cause;
    }
    throw new RuntimeError(cause.kind, `${messageOf(cause)} (${faults.join('; ')})`);
  }
}

async function readCdiDirectory(directory: string, faults: string[]): Promise<CdiDirectory> {
  const documents = await readDocuments(directory, ['.json', '.yaml']);
  return documents.flatMap(({ path, content, fault }) => {
    try {
      if (fault !== undefined) {
        throw fault;
      }
      return [{ path, spec: parseCdiSpec(content, `CDI file ${path}`) }];
    } catch (error) {
      faults.push(messageOf(error));
      return [];
    }
  });
}

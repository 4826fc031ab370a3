import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { type LinuxContainerResources, LinuxContainerResourcesSchema } from '@gantry/proto';

/** Limits as a record's facts keep them. */
export function writeResources(resources: LinuxContainerResources): JsonValue {
  return toJson(LinuxContainerResourcesSchema, resources);
}

/** What `writeResources` wrote. A field of a newer version is left out. */
export function readResources(json: JsonValue): LinuxContainerResources {
  return fromJson(LinuxContainerResourcesSchema, json, { ignoreUnknownFields: true });
}

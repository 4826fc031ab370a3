import { create, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type Container,
  type PodSandbox,
  type SynchronizeRequest,
  SynchronizeRequestSchema,
} from '@gantry/proto/nri';

const fewestObjects = 8;
// What the envelope of ttrpc adds to a message: names, times, lengths.
const envelopeBytes = 256;

/**
 * What a plugin is told at its start, in as many parts as `maxBytes` of a
 * message demands; all but the last say that there is more. Throws
 * `resource-exhausted` where a handful of objects is too large for any message.
 */
export function synchronizeParts(
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  maxBytes: number,
): SynchronizeRequest[] {
  const whole = create(SynchronizeRequestSchema, { pods: [...pods], containers: [...containers] });
  const bytes = toBinary(SynchronizeRequestSchema, whole).length;
  const limit = maxBytes - envelopeBytes;
  if (bytes <= limit) {
    return [whole];
  }
  const count = pods.length + containers.length;
  const objects = Math.floor(count * Math.min(limit / bytes, 0.9));
  return cut(pods, containers, Math.max(objects, fewestObjects), limit);
}

function cut(
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  objects: number,
  limit: number,
): SynchronizeRequest[] {
  const parts: SynchronizeRequest[] = [];
  const count = pods.length + containers.length;
  for (let at = 0; at < count; at += objects) {
    const part = create(SynchronizeRequestSchema, {
      pods: pods.slice(at, at + objects),
      containers: containers.slice(
        Math.max(0, at - pods.length),
        Math.max(0, at + objects - pods.length),
      ),
      more: at + objects < count,
    });
    const bytes = toBinary(SynchronizeRequestSchema, part).length;
    if (bytes > limit) {
      if (objects === 1) {
        throw new RuntimeError('resource-exhausted', `synchronize: ${bytes} bytes in one object`);
      }
      return cut(pods, containers, Math.max(1, Math.floor(objects / 2)), limit);
    }
    parts.push(part);
  }
  return parts;
}

import { quote, RuntimeError } from '@gantry/errors';
import type { ContainerConfig } from '@gantry/proto';

/** `vendor/class=name` (Container Device Interface, SPEC.md). */
export interface CdiDeviceName {
  /** `vendor/class`. */
  readonly kind: string;
  readonly name: string;
}

const kind = /^[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?$/;
const device = /^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;
const annotationPrefix = 'cdi.k8s.io/';

export function isCdiKind(text: string): boolean {
  return kind.test(text);
}

export function isCdiDevice(text: string): boolean {
  return device.test(text);
}

/** Throws `invalid-argument` that begins with the field. */
export function parseCdiName(text: string, field: string): CdiDeviceName {
  const [left = '', name = '', ...more] = text.split('=');
  if (more.length > 0 || !isCdiKind(left) || !isCdiDevice(name)) {
    const message = `${field}: ${quote(text)} is no CDI device: vendor/class=name`;
    throw new RuntimeError('invalid-argument', message);
  }
  return { kind: left, name };
}

/**
 * The CDI devices that a container asks for, each once: by the field of the
 * CRI, and by the annotations that kubelets used before there was one.
 */
export function cdiDevicesOf(
  config: Pick<ContainerConfig, 'CDIDevices' | 'annotations'>,
): readonly CdiDeviceName[] {
  const found = new Map<string, CdiDeviceName>();
  for (const { name } of config.CDIDevices) {
    found.set(name, parseCdiName(name, 'config.cdi_devices'));
  }
  for (const [key, value] of Object.entries(config.annotations)) {
    if (key.startsWith(annotationPrefix)) {
      for (const name of value.split(',')) {
        found.set(name, parseCdiName(name, `annotation ${key}`));
      }
    }
  }
  return [...found.values()];
}

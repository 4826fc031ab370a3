/** The pod's annotation that names plugins without which its containers are not created. */
const annotation = 'required-plugins.noderesource.dev';

/**
 * Names of plugins that a container of a pod needs, by the pod's annotations:
 * those of the container, else of the pod. They are a list in JSON or YAML.
 * Throws where it is neither.
 */
export async function requiredByPod(
  annotations: Readonly<Record<string, string>>,
  containerName: string,
): Promise<readonly string[]> {
  const keys = [`${annotation}/container.${containerName}`, `${annotation}/pod`, annotation];
  const key = keys.find((name) => Object.hasOwn(annotations, name));
  return key === undefined ? [] : parseNames(key, annotations[key] ?? '');
}

async function parseNames(key: string, text: string): Promise<readonly string[]> {
  // Rarely needed: not loaded with the service.
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw new Error(`annotation ${key}: not a list`, { cause });
  }
  if (!Array.isArray(value) || !value.every((name) => typeof name === 'string')) {
    throw new Error(`annotation ${key}: must be a list of names`);
  }
  return value;
}

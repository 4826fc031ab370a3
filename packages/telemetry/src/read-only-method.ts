const readOnlyMethod =
  /(^|\/)(Version|Status|RuntimeConfig|ImageFsInfo|GetContainerEvents|Metrics|Health|Explain|(List|Stream|Get)\w+|\w+(Status|Stats))$/;

/** Reports whether `name` is that of a method which only reads. */
export function isReadOnly(name: string): boolean {
  return readOnlyMethod.test(name);
}

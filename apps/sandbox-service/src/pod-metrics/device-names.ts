import { readFileSync } from 'node:fs';

/** The names of block devices; each is looked up once. */
export class DeviceNames {
  readonly #root: string;
  readonly #names = new Map<string, string>();

  constructor(root = '/sys/dev/block') {
    this.#root = root;
  }

  /** `8:0` is /dev/sda; one that the kernel does not list is called by its numbers. */
  nameOf(numbers: string): string {
    const known = this.#names.get(numbers);
    if (known !== undefined) {
      return known;
    }
    const name = this.#lookUp(numbers);
    this.#names.set(numbers, name);
    return name;
  }

  #lookUp(numbers: string): string {
    try {
      const text = readFileSync(`${this.#root}/${numbers}/uevent`, 'utf8');
      const name = /^DEVNAME=(.+)$/m.exec(text)?.[1];
      return name === undefined ? numbers : `/dev/${name}`;
    } catch {
      return numbers;
    }
  }
}

/** The numbers of a device as stat(2) has them (makedev(3) of glibc). */
export function numbersOf(dev: number): string {
  const bits = BigInt(dev);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn);
  const minor = (bits & 0xffn) | ((bits >> 12n) & ~0xffn);
  return `${String(major)}:${String(minor & 0xffffffffn)}`;
}

import { readFileSync, statSync } from 'node:fs';
import { RuntimeError } from '@gantry/errors';

export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The certificate and key of a server, read anew when their files change. */
export class Certificates {
  readonly #certFile: string;
  readonly #keyFile: string;
  #version: string;

  constructor(certFile: string, keyFile: string) {
    this.#certFile = certFile;
    this.#keyFile = keyFile;
    this.#version = this.#stat();
  }

  /** Throws `failed-precondition` with the file that can't be read. */
  read(): KeyPair {
    return { cert: readOrThrow(this.#certFile), key: readOrThrow(this.#keyFile) };
  }

  /** Whether a file has changed since this was asked last: two stat(2) calls. */
  haveChanged(): boolean {
    const version = this.#stat();
    const changed = version !== this.#version;
    this.#version = version;
    return changed;
  }

  #stat(): string {
    return [this.#certFile, this.#keyFile]
      .map((file) => {
        const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
        return stat === undefined ? '' : `${stat.ino}:${stat.mtimeNs}:${stat.size}`;
      })
      .join();
  }
}

function readOrThrow(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `read ${file} for streaming over TLS`, { cause });
  }
}

import {
  boolean,
  maxValue,
  minLength,
  optional,
  picklist,
  pipe,
  record,
  strictObject,
  string,
} from 'valibot';
import { described } from './described.ts';
import { atLeastOne, count } from './values.ts';

const credentials = strictObject({
  username: described('The name at the registry.', optional(string(), '')),
  password: described('Its password.', optional(string(), '')),
  identity_token: described(
    "A token that is traded for others at the registry's token server.",
    optional(string(), ''),
  ),
  registry_token: described('A bearer token for the registry itself.', optional(string(), '')),
});

const limits = strictObject({
  max_layer_bytes: described(
    'The largest layer, in bytes when uncompressed.',
    optional(atLeastOne, 256 * 2 ** 30),
  ),
  max_layer_ratio: described(
    'A layer of more than 1 GiB, zeros apart, may be so many times as large as its compressed bytes.',
    optional(atLeastOne, 200),
  ),
  max_layer_entries: described(
    'Files, directories and links of one layer.',
    optional(atLeastOne, 4_000_000),
  ),
  max_layer_depth: described(
    'Directories in one another, in the path of an entry of a layer.',
    optional(atLeastOne, 1024),
  ),
  max_header_bytes: described(
    'The names and attributes of one entry of a layer (a PAX header), in bytes; at most 1 GiB.',
    optional(pipe(atLeastOne, maxValue(2 ** 30)), 1 << 20),
  ),
});

/** Images: where they come from, how they are kept, what is refused. */
export const images = strictObject({
  registry_config_path: described(
    "Directory of <host>/hosts.toml files in containerd's format; read at each pull.",
    optional(string(), '/etc/containerd/certs.d'),
  ),
  docker_config: described(
    "A config.json of docker's whose `auths` serve pulls that bring no credentials; read at each pull; empty means none.",
    optional(string(), ''),
  ),
  credentials: described(
    'Credentials for pulls that bring none, a table for each registry: [images.credentials."registry.example:5000"]. They go before those of docker_config. Keep the file unreadable to others.',
    optional(record(pipe(string(), minLength(1)), credentials), {}),
  ),
  import_dir: described(
    'Archives and OCI layouts in this directory are imported when the service starts; empty means none.',
    optional(string(), ''),
  ),
  layer_store: described(
    'How layers are kept: "erofs" (Linux 6.12), "directories" (any), or "auto": erofs where a probe at start mounts one.',
    optional(picklist(['auto', 'erofs', 'directories']), 'auto'),
  ),
  max_concurrent_downloads: described(
    'Layers of one image that are downloaded at once.',
    optional(atLeastOne, 3),
  ),
  unpack_workers: described(
    'Layers that are unpacked at once on this node; 0 means one per CPU.',
    optional(count, 0),
  ),
  resume_min_bytes: described(
    'Of layers of so many compressed bytes or more, what has come is kept on disk until they are whole, so that a pull after a restart goes on where it broke off; 0 keeps none.',
    optional(count, 64 << 20),
  ),
  limits: described('What a layer may ask of the node.', optional(limits, {})),
  keep_compressed_layers: described(
    'Keep layers also as they came, so that an export has the same manifest and digests; takes room for each layer twice.',
    optional(boolean(), false),
  ),
  pull_progress_timeout_ms: described(
    'A pull that gets no byte for so long, or less than 1 KiB a second, fails; in milliseconds, 0 never.',
    optional(count, 300_000),
  ),
});

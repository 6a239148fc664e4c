import { type Environment, type ImageConfig, imageConfigSchema, MIB, printable } from '@microvm/runtime';
import { z } from 'zod';
import { imageInvalid } from './invalid.js';

/** Bytes that an index, a manifest or a config may have. */
export const DOCUMENT_MAX_BYTES = 4 * MIB;
export const MAX_LAYERS = 128;

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'a digest `sha256:` and 64 hex digits');
const platformSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
});
const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().min(0),
  platform: platformSchema.optional(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;

export const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptorSchema).max(4096),
});

export const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(MAX_LAYERS),
});
export type Manifest = z.infer<typeof manifestSchema>;

const strings = z.array(z.string());
export const configSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  config: z
    .looseObject({
      Env: strings.nullish(),
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Entrypoint: strings.nullish(),
      Cmd: strings.nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.looseObject({ type: z.literal('layers'), diff_ids: z.array(digestSchema).max(MAX_LAYERS) }),
});
export type Config = z.infer<typeof configSchema>;

/** Where a document came from, for the errors about it. */
export interface DocumentOrigin {
  readonly source: string;
  readonly entry: string;
}

/** @throws MICROVM_IMAGE_INVALID for what is no JSON, or not of this schema */
export function parseDocument<T extends z.ZodType>(
  data: Buffer,
  schema: T,
  origin: DocumentOrigin,
): z.output<T> {
  let json: unknown;
  try {
    json = JSON.parse(data.toString('utf8'));
  } catch (error) {
    throw imageInvalid({ ...origin, reason: 'it is no JSON', cause: error });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw imageInvalid({ ...origin, reason: firstProblem(parsed.error) });
}

function firstProblem({ issues: [issue] }: z.ZodError): string {
  const at = (issue?.path ?? []).map(String).join('.');
  return `${printable(at)}: ${issue?.message ?? 'wrong'}`;
}

/**
 * What a config says of the commands in its image. What no guest could be told is refused here and not when a
 * VM of the image first starts.
 *
 * @throws MICROVM_IMAGE_INVALID
 */
export function imageConfigOf({ config }: Config, origin: DocumentOrigin): ImageConfig {
  const { User, WorkingDir, Entrypoint, Cmd, StopSignal } = config ?? {};
  const said = {
    env: environmentOf(config?.Env ?? []),
    workingDir: WorkingDir ?? '',
    user: User ?? '',
    entrypoint: Entrypoint ?? [],
    cmd: Cmd ?? [],
    ...(StopSignal ? { stopSignal: StopSignal } : {}),
  };
  const parsed = imageConfigSchema.safeParse(said);
  if (parsed.success) return parsed.data;
  throw imageInvalid({ ...origin, reason: `its config: ${firstProblem(parsed.error)}` });
}

/** A name without `=` has no value in an image, so that it is left out, as other programs do. */
function environmentOf(lines: readonly string[]): Environment {
  const pairs = lines.filter((line) => line.includes('='));
  const env = pairs.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
  return Object.fromEntries(env) as Environment;
}

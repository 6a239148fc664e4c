import { constants } from 'node:os';
import { z } from 'zod';
import { ENVIRONMENT_MAX_BYTES, environmentBytes, environmentSchema } from '../contract/environment.js';
import type { ImageConfig } from '../ports/images.js';

// What a guest's agent can be told: an image of which it cannot be told would be found out at each boot.
const MAX_USER_BYTES = 256;
const MAX_ARGUMENTS = 8192;
const STOP_SIGNAL = /^(?:\d{1,2}|(?:SIG)?RT(?:MIN|MAX)(?:[+-]\d{1,2})?)$/i;
/** Of a string in the message to the agent, beside its bytes: its length and its NUL. */
const STRING_BYTES = 5;

const text = z
  .string()
  .max(128 * 1024)
  .regex(/^[^\0]*$/, 'text without NUL');
const argv = z.array(text).max(MAX_ARGUMENTS).readonly();

const imageConfigSchema = z
  .strictObject({
    env: environmentSchema,
    workingDir: text.regex(/^(?:\/|$)/, 'an absolute working directory'),
    user: text.refine((user) => Buffer.byteLength(user) <= MAX_USER_BYTES, {
      error: `a user of at most ${MAX_USER_BYTES} bytes`,
    }),
    entrypoint: argv,
    cmd: argv,
    stopSignal: text.refine(isStopSignal, { error: 'a stop signal that Linux has' }).optional(),
  } satisfies Record<keyof ImageConfig, z.ZodType>)
  .refine((config) => bytesOf(config) <= ENVIRONMENT_MAX_BYTES, {
    error: `at most ${ENVIRONMENT_MAX_BYTES} bytes of variables and arguments`,
  });

export const vmImageSchema = z.strictObject({
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, '"sha256:" and 64 hex digits'),
  config: imageConfigSchema,
});

/** The image of a VM, as its record and its snapshots keep it: what its name stood for at create. */
export type VmImage = Readonly<z.infer<typeof vmImageSchema>>;

function isStopSignal(name: string): boolean {
  return (
    STOP_SIGNAL.test(name) || Object.hasOwn(constants.signals, name.toUpperCase().replace(/^(SIG)?/, 'SIG'))
  );
}

function bytesOf({ env, workingDir, entrypoint, cmd }: ImageConfig): number {
  const texts = [workingDir, ...entrypoint, ...cmd];
  const bytes = texts.reduce((sum, each) => sum + Buffer.byteLength(each) + STRING_BYTES, 0);
  return bytes + environmentBytes(env) + STRING_BYTES * Object.keys(env).length;
}

/** An image stands in a record, or in a manifest, if and only if the spec names one. */
export function imageProblem(of: {
  readonly spec: { readonly image?: unknown };
  readonly image?: unknown;
}): string | undefined {
  if ((of.spec.image === undefined) === (of.image === undefined)) return undefined;
  return of.image === undefined
    ? 'image: missing, as spec.image is there'
    : 'image: there without spec.image';
}

import { z } from 'zod';
import { ENVIRONMENT_MAX_BYTES, environmentBytes, environmentSchema } from '../contract/environment.js';
import { parseSchema } from '../contract/parse.js';
import { stopSignalNumber } from '../contract/signals.js';
import type { ImageConfig } from './images.js';

// What a guest's agent can be told: an image of which it cannot be told would be found out at each boot.
const MAX_USER_BYTES = 256;
const MAX_ARGUMENTS = 8192;
/** Of a string in the message to the agent, beside its bytes: its length and its NUL. */
const STRING_BYTES = 5;

const text = z
  .string()
  .max(128 * 1024)
  .regex(/^[^\0]*$/, 'text without NUL');
const argv = z.array(text).max(MAX_ARGUMENTS).readonly();

/** Schema of what an image says of commands, as far as a guest can be told of it. */
export const imageConfigSchema = z
  .strictObject({
    env: environmentSchema,
    workingDir: text.regex(/^(?:\/|$)/, 'an absolute working directory'),
    user: text.refine((user) => Buffer.byteLength(user) <= MAX_USER_BYTES, {
      error: `a user of at most ${MAX_USER_BYTES} bytes`,
    }),
    entrypoint: argv,
    cmd: argv,
    stopSignal: text
      .refine((name) => stopSignalNumber(name) !== undefined, { error: 'a stop signal that Linux has' })
      .optional(),
  } satisfies Record<keyof ImageConfig, z.ZodType>)
  .refine((config) => bytesOf(config) <= ENVIRONMENT_MAX_BYTES, {
    error: `at most ${ENVIRONMENT_MAX_BYTES} bytes of variables and arguments`,
  });

/** Throws `MICROVM_INVALID_ARGUMENT` for an image of which no guest can be told. */
export function checkImageConfig(config: ImageConfig, path: string): void {
  parseSchema(imageConfigSchema, config, path);
}

function bytesOf({ env, workingDir, entrypoint, cmd }: ImageConfig): number {
  const texts = [workingDir, ...entrypoint, ...cmd];
  const bytes = texts.reduce((sum, each) => sum + Buffer.byteLength(each) + STRING_BYTES, 0);
  return bytes + environmentBytes(env) + STRING_BYTES * Object.keys(env).length;
}

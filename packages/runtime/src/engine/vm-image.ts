import { z } from 'zod';
import { imageConfigSchema } from '../ports/image-config.js';

export const vmImageSchema = z.strictObject({
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, '"sha256:" and 64 hex digits'),
  config: imageConfigSchema,
});

/** The image of a VM, as its record and its snapshots keep it: what its name stood for at create. */
export type VmImage = Readonly<z.infer<typeof vmImageSchema>>;

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

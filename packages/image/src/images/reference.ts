import { invalidArgument } from '@microvm/runtime';

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const HOST = '(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?';
const REFERENCE = new RegExp(
  `^(?<name>(?:${HOST}/)?${COMPONENT}(?:/${COMPONENT})*)` +
    '(?::(?<tag>\\w[\\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$',
);
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_NAME = 255;
// What docker leaves out of a name, so that `debian` and `docker.io/library/debian` are one image.
const IMPLIED = /^(?:index\.)?docker\.io\/(?:library\/)?/;

/** An image as a caller names it. */
export type ImageReference =
  { readonly kind: 'digest'; readonly digest: string } | { readonly kind: 'name'; readonly name: string };

/**
 * A name as it is kept: with a tag, `latest` where none is given, and without what docker implies. A name
 * with a digest has no tag.
 *
 * @throws MICROVM_INVALID_ARGUMENT
 */
export function normalName(text: string, path = 'name'): string {
  const { name, tag, digest } = REFERENCE.exec(text)?.groups ?? {};
  if (name === undefined || name.length > MAX_NAME) {
    throw invalidArgument(path, `a name of an image, such as "debian:12", not ${JSON.stringify(text)}`);
  }
  const short = name.replace(IMPLIED, '');
  return digest === undefined ? `${short}:${tag ?? 'latest'}` : `${short}@${digest}`;
}

/** @throws MICROVM_INVALID_ARGUMENT */
export function parseReference(text: string, path = 'reference'): ImageReference {
  if (DIGEST.test(text)) return { kind: 'digest', digest: text };
  return { kind: 'name', name: normalName(text, path) };
}

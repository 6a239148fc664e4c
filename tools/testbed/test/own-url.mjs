/** Where this module believes to be. */
export const ownUrl = import.meta.url;
export const ownFolder = import.meta.dirname;

export { packDefaultImage } from './default/default-image.js';

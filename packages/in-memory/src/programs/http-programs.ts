import { request, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { onAbort } from '@microvm/runtime';
import type { ScriptedConnection } from '../guest/guest-script.js';
import { basenameOf } from '../fs/file-system.js';
import type { Process } from '../process/process.js';
import { openFile } from '../process/regular-file.js';
import { dialed } from './dialed.js';
import { optionsOf, UsageError, type Options } from './options.js';
import type { Program } from './registry.js';

const REFUSED = 7;
const RESET = 56;
const HTTP_ERROR = 22;
const MOST_REDIRECTS = 10;

/** A connection within the guest as a stream of Node, for Node's own HTTP client. */
class ConnectionStream extends Duplex {
  readonly #socket: ScriptedConnection;
  readonly #input: AsyncIterator<Buffer>;

  constructor(socket: ScriptedConnection) {
    super();
    this.#socket = socket;
    this.#input = socket.input[Symbol.asyncIterator]();
  }

  override _read(): void {
    this.#input.next().then(
      ({ done, value }) => this.push(done === true ? null : value),
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk).then(() => callback(), callback);
  }

  override _final(callback: () => void): void {
    this.#socket.close();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.reset();
    callback(error);
  }
}

interface Call {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** Undefined: nobody serves the port. Rejects when the connection breaks. */
async function send(
  process: Process,
  { url, method, headers, body }: Call,
): Promise<IncomingMessage | undefined> {
  const target = { host: url.hostname, port: Number(url.port || '80') };
  const socket = await dialed(process, target);
  if (socket === undefined) return undefined;
  return new Promise((resolve, reject) => {
    const call = request({
      createConnection: () => new ConnectionStream(socket),
      host: url.hostname,
      path: `${url.pathname}${url.search}`,
      method,
      headers: { host: url.host, connection: 'close', ...headers },
    });
    onAbort(process.signal, () => call.destroy());
    call.on('response', resolve).on('error', reject);
    call.end(body);
  });
}

function urlOf(text: string | undefined): URL {
  if (text === undefined) throw new UsageError('a URL is missing');
  const full = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url?.protocol !== 'http:') throw new UsageError(`(1) Protocol of "${text}" not supported`);
  return url;
}

async function follow(process: Process, first: Call, follows: boolean): Promise<IncomingMessage | undefined> {
  let call = first;
  for (let count = 0; ; count += 1) {
    const response = await send(process, call);
    const location = response?.headers.location;
    const isRedirect = response !== undefined && [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
    if (!follows || !isRedirect || location === undefined || count >= MOST_REDIRECTS) return response;
    response.resume();
    call = { ...call, url: urlOf(new URL(location, call.url).href) };
  }
}

function isReset(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** Writes the body to a file, or to the standard output. */
async function save(process: Process, response: IncomingMessage, path: string | undefined): Promise<void> {
  const file =
    path === undefined || path === '-'
      ? process.descriptor(1).retain()
      : openFile(process.files, process.path(path), '>');
  try {
    for await (const chunk of response) await file.write(chunk as Buffer, process.signal);
  } finally {
    file.release();
  }
}

function headText(response: IncomingMessage): string {
  const { httpVersion, statusCode = 0, statusMessage = '', rawHeaders } = response;
  const lines = rawHeaders.flatMap((name, at) =>
    at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1] ?? ''}\r\n`] : [],
  );
  return `HTTP/${httpVersion} ${statusCode} ${statusMessage}\r\n${lines.join('')}\r\n`;
}

async function bodyOf(process: Process, text: string | undefined): Promise<string | undefined> {
  if (text === undefined || !text.startsWith('@')) return text;
  if (text === '@-') return Buffer.from(await process.readAll(process.descriptor(0)), 'latin1').toString();
  return process.files.readFile(process.path(text.slice(1))).toString();
}

/** `-H` may be given several times. */
function headersIn(args: readonly string[]): { headers: Record<string, string>; rest: string[] } {
  const headers: Record<string, string> = {};
  const rest = args.filter((arg, at) => {
    if (arg === '-H' || arg === '--header') return false;
    if (args[at - 1] !== '-H' && args[at - 1] !== '--header') return true;
    headers[arg.slice(0, arg.indexOf(':')).trim().toLowerCase()] = arg.slice(arg.indexOf(':') + 1).trim();
    return false;
  });
  return { headers, rest };
}

const CURL_LONG = {
  data: 'd',
  fail: 'f',
  head: 'I',
  include: 'i',
  location: 'L',
  'max-time': 'm',
  output: 'o',
  request: 'X',
  'show-error': 'S',
  silent: 's',
  'write-out': 'w',
};

async function callOf(
  process: Process,
  { operands, flags, values }: Options,
  headers: Record<string, string>,
): Promise<Call> {
  const body = await bodyOf(process, values.get('d'));
  const otherwise = flags.has('I') ? 'HEAD' : body === undefined ? 'GET' : 'POST';
  const type = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const own = { 'user-agent': 'curl', accept: '*/*', ...type, ...length, ...headers };
  return { url: urlOf(operands[0]), method: values.get('X') ?? otherwise, headers: own, body };
}

/** Reaches what is served within the guest, over HTTP. */
export const curl: Program = async (process) => {
  const { headers, rest } = headersIn(process.args);
  const options = optionsOf({ args: rest }, 'd:fIiLm:o:OX:Ssw:vk', CURL_LONG);
  const { flags, values } = options;
  const isLoud = !flags.has('s') || flags.has('S');
  const complain = (code: number, text: string): Promise<number> | number =>
    isLoud ? process.complain(`(${code}) ${text}`, code) : code;
  const call = await callOf(process, options, headers);
  try {
    const response = await follow(process, call, flags.has('L'));
    const { hostname, port } = call.url;
    if (response === undefined)
      return await complain(
        REFUSED,
        `Failed to connect to ${hostname} port ${port || '80'}: Connection refused`,
      );
    const status = response.statusCode ?? 0;
    if (flags.has('f') && status >= 400)
      return await complain(HTTP_ERROR, `The requested URL returned error: ${status}`);
    if (flags.has('i') || flags.has('I')) await process.write(headText(response));
    await save(process, response, flags.has('O') ? basenameOf(call.url.pathname) : values.get('o'));
    const wanted = values.get('w')?.replaceAll('\\n', '\n').replaceAll('%{http_code}', String(status));
    if (wanted !== undefined) await process.write(wanted);
    return 0;
  } catch (error) {
    if (!isReset(error)) throw error;
    return complain(RESET, 'Recv failure: Connection reset by peer');
  }
};

export const wget: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'qO:T:', { quiet: 'q', 'output-document': 'O' });
  const url = urlOf(operands[0]);
  const call = { url, method: 'GET', headers: { 'user-agent': 'wget', accept: '*/*' }, body: undefined };
  const complain = (text: string): Promise<number> | number => (flags.has('q') ? 1 : process.complain(text));
  try {
    const response = await follow(process, call, true);
    if (response === undefined)
      return await complain(`can't connect to remote host (${url.hostname}): Connection refused`);
    const status = response.statusCode ?? 0;
    if (status >= 400)
      return await complain(`server returned error: HTTP/1.1 ${status} ${response.statusMessage ?? ''}`);
    await save(
      process,
      response,
      values.get('O') ?? (basenameOf(url.pathname).replace(/^\/$/, '') || 'index.html'),
    );
    return 0;
  } catch (error) {
    if (!isReset(error)) throw error;
    return complain('error getting response: Connection reset by peer');
  }
};

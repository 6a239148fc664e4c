import type { ConnectTarget } from '@microvm/runtime';
import type { Frame } from './codec.js';
import { FrameType, ProtocolError } from './protocol.js';
import type { ScriptedServer } from './scripted-socket.js';
import { ScriptedStream } from './scripted-stream.js';
import type { ScriptedStreamParts } from './scripted-stream.js';

const MOST_WAITING = 16;

/** A socket of a scripted guest that the host listens on, on its stream. Detached, it listens no more. */
export class ListenerStream {
  readonly target: ConnectTarget;
  readonly #stream: ScriptedStream;
  readonly #onEnd: () => void;
  readonly #waiting = new Map<number, ScriptedServer>();
  #lastNumber = 0;

  constructor(target: ConnectTarget, parts: ScriptedStreamParts, onEnd: () => void) {
    this.target = target;
    this.#stream = new ScriptedStream(parts);
    this.#onEnd = onEnd;
  }

  run(): void {
    this.#stream.say(FrameType.opened);
  }

  /** A connection of the guest, which `serve` is the guest's end of. False: as many wait as can. */
  offer(serve: ScriptedServer): boolean {
    if (this.#waiting.size >= MOST_WAITING) return false;
    const number = ++this.#lastNumber;
    this.#waiting.set(number, serve);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(number);
    void this.#stream.write(1, bytes);
    return true;
  }

  take(number: number): ScriptedServer | undefined {
    const serve = this.#waiting.get(number);
    this.#waiting.delete(number);
    return serve;
  }

  onFrame(frame: Frame): void {
    if (this.#stream.onFrame(frame)) return;
    if (frame.type !== FrameType.cancel) throw new ProtocolError(`frame type ${frame.type} for a listener`);
    this.#stream.finish(FrameType.ended, Buffer.alloc(0));
    this.#onEnd();
  }

  /** A listener has no process that a signal could reach. */
  kill(): void {
    return;
  }

  /** The host listens no more. */
  detach(): void {
    this.#stream.detach();
    this.#onEnd();
  }
}

import { Socket } from 'node:net';
import { connectUnix } from '@microvm/native';

/** Connects to a unix stream socket whose path may have any length. Rejects with the system's error. */
export async function connectStream(path: string): Promise<Socket> {
  return new Socket({ fd: await connectUnix(path), readable: true, writable: true });
}

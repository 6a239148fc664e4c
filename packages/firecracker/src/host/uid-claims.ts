import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileIdentity, ignoreMissing, readOwnerId } from '@microvm/driver-kit';

/** Who asks for user ids. */
export interface Claimant {
  readonly ownerId: string;
  readonly stateDir: string;
}

/** How to find out whether the owner of a claim still has something on the host. */
export interface SignsOfLife {
  /** Whether a process lives that runs as a user of the block and is not the claimant's. */
  readonly hasProcess: (block: number) => boolean;
  readonly hasCgroup: (ownerId: string) => Promise<boolean>;
}

/** A block of user ids that an owner says is its own. */
export interface Claim {
  readonly block: number;
  /** Undefined: an earlier release made it, or somebody else has put it there. */
  readonly ownerId: string | undefined;
  readonly path: string;
}

/**
 * The claims of all owners on this host. Each is a file whose *name* says all that counts, so a claim is
 * never half-written. Its text names the state directory, for people and to find out whether the owner still
 * exists. The caller holds the registry's lock.
 */
export class UidClaims {
  readonly #folder: string;
  readonly #claimant: Claimant;
  readonly #life: SignsOfLife;

  constructor(registryDir: string, claimant: Claimant, life: SignsOfLife) {
    this.#folder = join(registryDir, 'uid-blocks');
    this.#claimant = claimant;
    this.#life = life;
  }

  async list(): Promise<readonly Claim[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o755 });
    return (await readdir(this.#folder)).flatMap((name) => {
      const [, block, ownerId] = /^(\d+)(?:\.([0-9a-f]{32}))?$/.exec(name) ?? [];
      return block === undefined ? [] : [{ block: Number(block), ownerId, path: join(this.#folder, name) }];
    });
  }

  /** Whether a claim bears the claimant's id. */
  isNamed({ ownerId }: Claim): boolean {
    return ownerId === this.#claimant.ownerId;
  }

  /** Whether a claim is the claimant's: by the id, or because the same directory had another id before. */
  async isOwn(claim: Claim): Promise<boolean> {
    if (this.isNamed(claim)) return true;
    const { identity, stateDir } = await readClaim(claim);
    const own = await fileIdentity(this.#claimant.stateDir);
    return (claim.ownerId === undefined ? await fileIdentity(stateDir) : identity) === own;
  }

  /**
   * Whether the owner of somebody else's claim has a process, a cgroup or a state directory, as far as can be
   * seen from here.
   */
  async isAlive(claim: Claim): Promise<boolean> {
    const { block, ownerId } = claim;
    if (this.#life.hasProcess(block)) return true;
    if (ownerId !== undefined && (await this.#life.hasCgroup(ownerId))) return true;
    const { identity, stateDir } = await readClaim(claim);
    const now = await fileIdentity(stateDir);
    if (now === undefined) return false;
    // Another folder at the path means another mount namespace: what the owner has in its own cannot be
    // known.
    return ownerId === undefined || now !== identity || (await readOwnerId(stateDir)) === ownerId;
  }

  async make(block: number): Promise<void> {
    const { ownerId, stateDir } = this.#claimant;
    const text = `${await fileIdentity(stateDir)} ${stateDir}`;
    await writeFile(join(this.#folder, `${block}.${ownerId}`), text, { mode: 0o644 });
  }

  async remove({ path }: Pick<Claim, 'path'>): Promise<void> {
    await rm(path, { force: true });
  }
}

/** The fields of a claim's text; empty strings when there was no room to write the text. */
export async function readClaim({ path, ownerId }: Pick<Claim, 'path' | 'ownerId'>): Promise<{
  readonly identity: string;
  readonly stateDir: string;
}> {
  const text = (await readFile(path, 'utf8').catch(ignoreMissing)) ?? '';
  // Earlier releases wrote the path alone.
  if (ownerId === undefined) return { identity: '', stateDir: text };
  const [identity = '', ...rest] = text.split(' ');
  return { identity, stateDir: rest.join(' ') };
}

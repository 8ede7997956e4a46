/**
 * One live owner per file, on one machine: threads, processes, and containers that share the folder.
 *
 * Node has no flock. A lock file with a process number in it is right neither after kill -9 and a reused number nor
 * between containers, where numbers repeat. A listening unix socket is what the kernel itself takes back when its
 * process dies, and another container that sees the folder can ask it: `connect` succeeds while the owner lives (also
 * while it is stopped, or its event loop is busy), and is refused when it is dead.
 *
 * A dead socket's name stays. It is not replaced, since between finding it dead and replacing it another may have done
 * so; instead the next owner takes the next number: `FILE.owner.1`, `FILE.owner.2`, … by `link`, which fails where the
 * name exists. Who has linked its number looks again, and gives up if there is a higher one. The highest name is never
 * removed, so numbers do not come back and who was delayed in between finds that it is late.
 */

import { randomUUID } from 'node:crypto'
import { constants, type FileHandle, link, open, readdir, realpath, rm, statfs } from 'node:fs/promises'
import net from 'node:net'
import { basename, dirname, join } from 'node:path'
import { UnsupportedError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { IdInUseError } from './errors.ts'

export interface FileOwner {
  release(): Promise<void>
}

/**
 * Becomes the only owner of `path`, whose folder must exist.
 * @throws IdInUseError while another owner lives; UnsupportedError on Windows and on network file systems, where a
 *   socket cannot be asked from another machine; a system error when the folder cannot be written
 */
export async function ownFile(path: string): Promise<FileOwner> {
  if (process.platform === 'win32')
    throw new UnsupportedError('id state files need unix sockets; on Windows reserve in the store instead')
  const folder = await realpath(dirname(path))
  await refuseNetworkFolder(folder)
  const place = new Place(await open(folder, constants.O_RDONLY), folder, `${basename(path)}.owner.`)
  const temporary = `${basename(path)}.${randomUUID().slice(0, 8)}.socket`
  try {
    const server = await listen(place.socketPath(temporary))
    try {
      const mine = await place.take(temporary)
      await rm(join(folder, temporary), { force: true })
      await place.removeBelow(mine)
      return { release: () => end(server, place) }
    } catch (error) {
      await rm(join(folder, temporary), { force: true })
      await end(server, undefined)
      throw error
    }
  } catch (error) {
    await place.close()
    throw error
  }
}

/** True while an owner of `path` lives. */
export async function isOwned(path: string): Promise<boolean> {
  const folder = await realpath(dirname(path))
  const place = new Place(await open(folder, constants.O_RDONLY), folder, `${basename(path)}.owner.`)
  try {
    const highest = await place.highest()
    return highest > 0 && (await place.isAlive(highest))
  } finally {
    await place.close()
  }
}

class Place {
  readonly #handle: FileHandle
  readonly #folder: string
  readonly #name: string

  constructor(handle: FileHandle, folder: string, name: string) {
    this.#handle = handle
    this.#folder = folder
    this.#name = name
  }

  /** A socket's path has at most 107 bytes on Linux, so a long one goes through the open folder. */
  socketPath(name: string): string {
    const path = join(this.#folder, name)
    if (Buffer.byteLength(path) < 100 || process.platform !== 'linux') return path
    return `/proc/self/fd/${this.#handle.fd}/${name}`
  }

  async highest(): Promise<number> {
    const names = await readdir(this.#folder)
    return Math.max(
      0,
      ...names.filter((name) => name.startsWith(this.#name)).map((name) => this.#numberOf(name)),
    )
  }

  isAlive(number: number): Promise<boolean> {
    return answers(this.socketPath(`${this.#name}${number}`))
  }

  async take(temporary: string): Promise<number> {
    for (let tries = 0; tries < 100; tries++) {
      const highest = await this.highest()
      if (highest > 0 && (await this.isAlive(highest))) throw inUse(join(this.#folder, this.#name))
      await failpoint('id.owner.found-dead')
      const mine = highest + 1
      try {
        await link(join(this.#folder, temporary), join(this.#folder, `${this.#name}${mine}`))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
        throw error
      }
      if ((await this.highest()) === mine) return mine
      await rm(join(this.#folder, `${this.#name}${mine}`), { force: true }) // there is a higher one
    }
    throw inUse(join(this.#folder, this.#name))
  }

  async removeBelow(mine: number): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const number = name.startsWith(this.#name) ? this.#numberOf(name) : mine
      if (number < mine) await rm(join(this.#folder, name), { force: true })
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  #numberOf(name: string): number {
    const rest = name.slice(this.#name.length)
    return /^[1-9][0-9]{0,14}$/.test(rest) ? Number(rest) : 0
  }
}

function inUse(what: string): IdInUseError {
  return new IdInUseError(
    `another generator that is alive has ${what.replace(/\.owner\.$/, '')}; give each its own file and instance`,
  )
}

function listen(path: string): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      server.on('error', () => {})
      server.unref()
      resolve(server)
    })
  })
}

/** Refused means that no process listens; every other answer is taken for life. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path)
    const answer = (alive: boolean): void => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      answer(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

async function end(server: net.Server, place: Place | undefined): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()))
  await place?.close()
}

/** NFS, SMB (three forms), AFS, Ceph, 9p. @see statfs(2) */
const NETWORK = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x5346414f, 0x00c36400, 0x01021997])

async function refuseNetworkFolder(folder: string): Promise<void> {
  if (process.platform !== 'linux') return
  const { type } = await statfs(folder)
  if (NETWORK.has(type >>> 0))
    throw new UnsupportedError(
      `${folder} is on a network file system, where machines cannot see each other's generators; reserve in the store instead`,
    )
}

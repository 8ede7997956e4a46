import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TempFolder extends Disposable {
  readonly path: string
  /** Path of a file in the folder. */
  file(name: string): string
  remove(): void
}

/** Makes an empty folder outside the repository: `using folder = tempFolder()` removes it at the end. */
export function tempFolder(name = 'test'): TempFolder {
  const path = mkdtempSync(join(temporary(), `holdfast-${name}-${process.pid}-`))
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  return { path, file: (name) => join(path, name), remove, [Symbol.dispose]: remove }
}

/** Removes what runs that were killed have left in memory: nothing else would before the machine is started again. */
export function removeLeftovers(): void {
  if (temporary() !== MEMORY) return
  for (const name of readdirSync(MEMORY)) {
    const [, pid] = /^holdfast-.*-(\d+)-\w+$/.exec(name) ?? []
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(MEMORY, name), { recursive: true, force: true })
  }
}

/** What all databases of a run take together, many times over. */
const ROOM_BYTES = 4 * 2 ** 30

/**
 * In memory where there is plenty of it, unless TMPDIR says otherwise. Databases are made and removed by the hundred, and what
 * the tests write to them has to outlive processes and never a power failure: on a disk, most of the work would be the file
 * system's. Programs are started from there too, which some systems forbid.
 */
function temporary(): string {
  place ??= process.env.TMPDIR === undefined && isRoomy(MEMORY) ? MEMORY : tmpdir()
  return place
}

const MEMORY = '/dev/shm'
let place: string | undefined

function isRoomy(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path)
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .findLast(([, at]) => at === path)
    return (
      mount !== undefined &&
      !mount[3]?.split(',').includes('noexec') &&
      bavail * bsize >= ROOM_BYTES &&
      process.availableMemory() >= ROOM_BYTES
    )
  } catch {
    return false // another operating system
  }
}

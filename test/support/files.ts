import { mkdtempSync, rmSync } from 'node:fs'
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
  const path = mkdtempSync(join(tmpdir(), `holdfast-${name}-`))
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  return { path, file: (name) => join(path, name), remove, [Symbol.dispose]: remove }
}

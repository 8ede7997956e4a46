/** Runs programs for the other scripts, with the tools of node_modules first on the PATH. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs to the end with inherited output; answers the exit code. */
export function run(command, args, options = {}) {
  const PATH = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter)
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, PATH },
    shell: process.platform === 'win32',
    stdio: 'inherit',
    ...options,
  })
  if (error !== undefined) throw error
  return status ?? 1
}

/** Paths of the files under a folder of the repository that end in one of `endings`, with `/` between names. */
export function filesUnder(folder, ...endings) {
  let entries
  try {
    entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
  return entries
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replaceAll('\\', '/'))
    .filter((path) => !path.includes('node_modules/'))
    .sort()
}

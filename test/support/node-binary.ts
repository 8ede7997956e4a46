import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How long a hook may take that calls `nodeBinary`. */
export const INSTALL_MS = 300_000

/** The Node that runs the tests where it is that one, else one from npm, kept between runs outside the repository. */
export function nodeBinary(major: string): string {
  if (process.versions.node.split('.')[0] === major) return process.execPath
  const cache = join(tmpdir(), 'holdfast-nodes')
  const folder = join(cache, major)
  const binary = join(
    folder,
    'node_modules',
    'node',
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  )
  if (existsSync(binary)) return binary
  mkdirSync(cache, { recursive: true })
  const fresh = mkdtempSync(join(cache, 'new-'))
  writeFileSync(join(fresh, 'package.json'), '{ "private": true }\n')
  execFileSync('npm', ['install', '--no-audit', '--no-fund', `node@${major}`], {
    cwd: fresh,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  try {
    renameSync(fresh, folder) // whole or not at all, so that an interrupted download is not taken for a Node
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    if (!existsSync(binary)) throw error
  }
  return binary
}

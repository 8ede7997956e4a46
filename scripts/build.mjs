/** Builds dist: the library, then the examples, which resolve `holdfast/x` to what was just built. */
import { chmodSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { filesUnder, root, run } from './tool.mjs'

rmSync(join(root, 'dist'), { recursive: true, force: true })

const projects = ['tsconfig.build.json']
if (filesUnder('examples', '.ts').length > 0) projects.push('examples/tsconfig.json')
for (const project of projects) {
  const status = run('tsc', ['-p', project])
  if (status !== 0) process.exit(status)
}

const main = join(root, 'dist/cli/main.js')
if (existsSync(main)) chmodSync(main, 0o755)

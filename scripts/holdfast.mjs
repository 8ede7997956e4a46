/** Runs the command line from a checkout; builds first when dist is missing or older than src. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { filesUnder, root, run } from './tool.mjs'

const main = join(root, 'dist/cli/main.js')
const builtMs = existsSync(main) ? statSync(main).mtimeMs : 0
const inputs = [
  ...filesUnder('src', ''),
  ...filesUnder('examples', '.ts'),
  'package.json',
  'tsconfig.build.json',
]
if (inputs.some((path) => statSync(join(root, path)).mtimeMs > builtMs)) {
  // Standard output belongs to the command: what the build says goes to standard error.
  const status = run(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status)
}
process.argv[1] = main
await import(pathToFileURL(main).href)

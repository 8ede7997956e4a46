/** Runs the benchmarks, which have a package.json of their own for the libraries they compare with. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './tool.mjs'

const bench = join(root, 'bench')
if (!existsSync(join(bench, 'node_modules'))) {
  const status = run('npm', ['ci'], { cwd: bench, stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status)
}
process.exit(run(process.execPath, ['bench/run.mjs', ...process.argv.slice(2)]))

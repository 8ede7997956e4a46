// Starts a benchmark: installs this package when needed, then goes on under the newer Node that the peers require.
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const quiet = ['ignore', process.stderr, process.stderr]

const changedAt = (file) => statSync(`${here}${file}`, { throwIfNoEntry: false })?.mtimeMs ?? 0
if (changedAt('node_modules/.package-lock.json') < changedAt('package-lock.json'))
  run('npm', ['ci', '--no-fund', '--no-audit'], here, quiet)
run('npm', ['run', '--silent', 'build'], `${here}..`, quiet)
run(`${here}node_modules/.bin/node`, [`${here}main.ts`, ...process.argv.slice(2)], process.cwd(), 'inherit')

function run(command, args, cwd, stdio) {
  const { status, error } = spawnSync(command, args, { cwd, stdio })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

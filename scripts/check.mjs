/** Runs every check, also after one failed, and says how long each took. */
import { run } from './tool.mjs'

const checks = [
  ['format and lint', 'biome', ['check', '--error-on-warnings']],
  ['types', 'tsc', ['--noEmit', '-p', 'tsconfig.json']],
  ['import directions', process.execPath, ['scripts/check-imports.mjs']],
  ['build', process.execPath, ['scripts/build.mjs']],
  ['exports', process.execPath, ['scripts/check-exports.mjs']],
  ['documentation', process.execPath, ['scripts/check-docs.mjs']],
]

let failed = false
for (const [name, command, args] of checks) {
  const startMs = performance.now()
  const passed = run(command, args) === 0
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  failed ||= !passed
}
process.exit(failed ? 1 : 0)

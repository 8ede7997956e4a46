/**
 * Checks the built package as a stranger meets it: copied where no driver is installed, every entry is imported and
 * required there. Also: the paths of tsconfig.json lead each entry to the source that was built, and typesVersions to its types.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, run } from './tool.mjs'

const {
  name,
  bin,
  exports,
  typesVersions,
  dependencies = {},
} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const { paths } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')).compilerOptions

const problems = []
const entries = []
for (const [subpath, target] of Object.entries(exports)) {
  if (typeof target === 'string') {
    if (!existsSync(join(root, target))) problems.push(`${subpath}: ${target} does not exist`)
    continue
  }
  const entry = name + subpath.slice(1)
  const missing = Object.values(target).filter((file) => !existsSync(join(root, file)))
  if (missing.length > 0) problems.push(...missing.map((file) => `${subpath}: ${file} was not built`))
  else entries.push(entry)

  const source = target.default.replace('./dist/', './src/').replace(/\.js$/, '.ts')
  const path = paths[entry]?.[0] ?? paths[`${name}/*`]?.[0].replace('*', subpath.slice(2))
  if (path !== source)
    problems.push(`${subpath}: tsconfig.json leads to ${path}, the build is from ${source}`)
  // TypeScript's resolution of before `exports` (`node10`, of most CommonJS projects) looks here.
  const [types] = subpath === '.' ? [target.types] : (typesVersions['*'][subpath.slice(2)] ?? [])
  if (types !== target.types) problems.push(`${subpath}: typesVersions leads to ${types}`)
}
for (const file of Object.values(bin)) {
  if (!existsSync(join(root, file))) problems.push(`bin: ${file} was not built`)
  else if (!readFileSync(join(root, file), 'utf8').startsWith('#!'))
    problems.push(`bin: ${file} has no #! line`)
}

const away = mkdtempSync(join(tmpdir(), 'holdfast-exports-'))
try {
  const installed = join(away, 'node_modules', name)
  mkdirSync(installed, { recursive: true })
  cpSync(join(root, 'package.json'), join(installed, 'package.json'))
  if (existsSync(join(root, 'dist'))) cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true })
  for (const dependency of Object.keys(dependencies))
    cpSync(join(root, 'node_modules', dependency), join(away, 'node_modules', dependency), {
      recursive: true,
    })
  const report = `(entry, names, error) => {
    if (error === undefined && names.length === 0) error = new Error('exports nothing')
    if (error === undefined) return
    process.exitCode = 1
    console.error(entry + ': ' + error.message)
  }`
  writeFileSync(
    join(away, 'imports.mjs'),
    `const report = ${report}
for (const entry of ${JSON.stringify(entries)})
  await import(entry).then((module) => report(entry, Object.keys(module)), (error) => report(entry, [], error))`,
  )
  writeFileSync(
    join(away, 'requires.cjs'),
    `const report = ${report}
for (const entry of ${JSON.stringify(entries)}) {
  try { report(entry, Object.keys(require(entry))) } catch (error) { report(entry, [], error) }
}`,
  )
  if (run(process.execPath, ['imports.mjs'], { cwd: away }) !== 0)
    problems.push('an import failed, see above')
  if (run(process.execPath, ['--no-warnings', 'requires.cjs'], { cwd: away }) !== 0) {
    problems.push('a require failed, see above')
  }
} finally {
  rmSync(away, { recursive: true, force: true })
}

for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

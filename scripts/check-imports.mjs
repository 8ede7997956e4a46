/**
 * Keeps imports pointing one way. Prints each import that does not, and what only the command line may do: write to
 * the console, read the environment, end the process, import a driver.
 */
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { filesUnder, root } from './tool.mjs'

/** Part of src → the parts that it may import. A part imports itself freely; the table lists what is reached, whole. */
const contracts = ['store', 'broker', 'core']
const base = ['lease', 'effects', 'fence', ...contracts]
const pure = ['causality', 'history', 'id']
const capabilities = ['participant', 'version', 'outbox', 'inbox', 'saga', 'two-phase', 'lock', 'replica']
const MAY_IMPORT = {
  core: [],
  causality: ['core'],
  history: ['core'],
  id: ['lease', 'store', 'core'], // a counter or an instance number may come from a store
  store: ['core'],
  broker: ['core'],
  dialect: ['store', 'core'],
  'broker-kind': ['broker', 'core'],
  'store-queue': ['lease', 'fence', ...contracts], // a broker made of a store
  lease: contracts,
  effects: contracts,
  fence: contracts,
  participant: base,
  version: base,
  outbox: base,
  inbox: ['outbox', ...base],
  'two-phase': ['inbox', 'outbox', ...base],
  saga: ['two-phase', 'participant', 'inbox', 'outbox', ...base],
  lock: base,
  replica: ['causality', 'version', 'inbox', 'outbox', ...base], // changes travel by outbox and inbox; If-Match is read once
  tables: [...capabilities, ...pure, ...base, 'store-queue'],
  server: [...capabilities, ...pure, ...base],
  race: ['history', 'dialect', 'store', 'core'], // a SQLite handle as the store has it
  testing: [...capabilities, ...pure, ...base, 'dialect', 'broker-kind', 'store-queue', 'race', 'index'],
  index: [...capabilities, ...pure, ...base, 'race'],
  cli: 'everything but testing',
}

function partOf(path) {
  const [first, second] = path.replace(/^src\//, '').split('/')
  if (first === 'index.ts') return 'index'
  if (first === 'store' && ['sqlite', 'postgres', 'mysql'].includes(second)) return 'dialect'
  if (first === 'broker' && second === 'store-queue') return 'store-queue'
  if (first === 'broker' && ['nats', 'rabbitmq', 'kafka', 'redis'].includes(second)) return 'broker-kind'
  return first
}

/** The folder that may be imported within one part: dialects and broker kinds do not import their siblings. */
function unitOf(path) {
  return ['dialect', 'broker-kind'].includes(partOf(path))
    ? posix.dirname(path).split('/').slice(0, 3).join('/')
    : partOf(path)
}

const IMPORT =
  /^[ \t]*(?:import|export)\s+(?:[\w$*{},\s]+?\sfrom\s+)?['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]/gm
const ONLY_CLI = [
  [/\bconsole\s*\./g, 'console belongs to src/cli; use the injected log'],
  [/\bprocess\s*\.\s*(?:env|exit|argv)\b/g, 'the environment and the process belong to src/cli'],
]

/** Programs of their own, started by a part: what of the process is theirs to end. */
const PROGRAMS = ['src/race/workers/child.ts']

/** Comments become blanks of the same length, so that positions stay. Good enough: `//` inside strings hides no import. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/[^\n]*/g, (comment) =>
    comment.replace(/[^\n]/g, ' '),
  )
}

function whyNot(path, specifier) {
  const from = partOf(path)
  if (!specifier.startsWith('.')) {
    if (specifier.startsWith('node:') || from === 'cli') return undefined
    if (specifier === 'croner' && path === 'src/saga/recurring.ts') return undefined // a dependency of the package
    return 'a package is imported only by src/cli; the application passes its driver in'
  }
  const target = posix.join(posix.dirname(path), specifier)
  if (!target.startsWith('src/')) return 'leaves src'
  const to = partOf(target)
  if (to === 'testing' && from !== 'testing') return 'nothing in src imports testing'
  if (from === 'testing' && to !== 'testing' && to !== 'core' && posix.basename(target) !== 'index.ts') {
    return 'testing imports public indexes only'
  }
  if (from === 'cli') return undefined
  if (from === to) {
    return unitOf(path) === unitOf(target)
      ? undefined
      : `${unitOf(path)} and ${unitOf(target)} do not know each other`
  }
  const allowed = MAY_IMPORT[from]
  if (allowed === undefined) return `src/${from} has no line in the table of scripts/check-imports.mjs`
  return allowed.includes(to) ? undefined : `${from} does not import ${to}`
}

const offenders = filesUnder('src', '.ts').flatMap((path) => {
  const text = withoutComments(readFileSync(join(root, path), 'utf8'))
  const at = (index) => `${path}:${text.slice(0, index).split('\n').length}`
  const imports = [...text.matchAll(IMPORT)].flatMap((match) => {
    const specifier = match[1] ?? match[2]
    const reason = whyNot(path, specifier)
    const index = match.index + match[0].indexOf(specifier)
    return reason === undefined ? [] : [`${at(index)}  '${specifier}': ${reason}`]
  })
  if (partOf(path) === 'cli') return imports
  return [
    ...imports,
    ...(PROGRAMS.includes(path) ? [] : ONLY_CLI).flatMap(([pattern, reason]) =>
      [...text.matchAll(pattern)].map(({ index }) => `${at(index)}  ${reason}`),
    ),
  ]
})

for (const offender of offenders) console.error(offender)
process.exit(offenders.length > 0 ? 1 : 0)

import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { printable } from '../../core/printable.ts'
import {
  FORMATS,
  type Format,
  htmlReport,
  LEVELS,
  type Level,
  levelNamed,
  MODELS,
  type ModelName,
  type Verdict,
} from '../../history/index.ts'
import { type CheckJob, STANDARD_INPUT } from '../check/job.ts'
import { runWatched } from '../check/watched.ts'
import { CliError, usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type Report, textValue } from '../command.ts'
import { writePage } from '../write-page.ts'

const MEMORY_DEFAULT_MB = 4096
const MEMORY_MIN_MB = 64
const EXIT_OF = { valid: EXIT.ok, invalid: EXIT.problem, unknown: EXIT.unreachable } as const

export const check: Command = {
  name: 'check',
  summary: 'check a recorded history against a model',
  description: "FILE may be packed with gzip; - is standard input; a folder is one of Cobra's logs.",
  exitCodes:
    'Exit codes: 0 valid, proved. 1 invalid, with the anomalies. 2 unknown, with the reason, or the check failed.\n' +
    '64 the command was not understood, or names no file. 65 the history cannot be read, with the line.',
  positionals: ['FILE'],
  options: {
    model: {
      type: 'string',
      value: 'MODEL',
      summary: `one of ${MODELS.join(', ')}; or a module (./mine.js) that exports a model`,
    },
    level: { type: 'string', value: 'LEVEL', summary: `for transactions: ${LEVELS.join(', ')}` },
    format: { type: 'string', value: 'FORMAT', summary: `auto (default), ${FORMATS.join(', ')}` },
    independent: {
      type: 'boolean',
      summary:
        'values are pairs [key, value], as jepsen.independent writes them; seen without it where reads tell so',
    },
    'allow-duplicates': {
      type: 'boolean',
      summary: 'delivery: a message may come more than once',
    },
    total: {
      type: 'string',
      value: 'N',
      summary: 'bank: what the accounts add up to; default: what the first read says',
    },
    'negative-balances': { type: 'boolean', summary: 'bank: a balance may be below 0' },
    initial: {
      type: 'string',
      value: 'VALUE',
      summary:
        'registers and kv: what is held that nobody wrote, as JSON; of multi-register by key; default null',
    },
    html: { type: 'string', value: 'OUT', summary: 'write a page with the anomalies drawn' },
    timeout: { type: 'string', value: 'S', summary: 'seconds after which the answer is unknown' },
    memory: {
      type: 'string',
      value: 'MB',
      summary: `memory that the check may take, beyond which the answer is unknown; default ${MEMORY_DEFAULT_MB}`,
    },
  },
  examples: [
    { line: 'holdfast check history.jsonl --model register', does: 'is the register linearizable?' },
    {
      line: 'holdfast check history.edn --model list-append --level serializable --html report.html',
      does: 'are the transactions serializable? With a drawing of the smallest cycle.',
    },
    {
      line: 'holdfast check run.jsonl --model delivery --json',
      does: 'was a message lost, duplicated or reordered?',
    },
  ],
  run: runCheck,
}

async function runCheck(given: Given): Promise<Report> {
  const path = given.positionals[0] as string
  const level = levelOf(given)
  const format = oneOf<Format | 'auto'>(given, 'format', ['auto', ...FORMATS])
  const modelText = textValue(given, 'model')
  if (modelText === undefined) throw usageError(`--model is missing: choose ${MODELS.join(', ')}`)
  const own = /[./\\]/.test(modelText)
  const model = own ? ('register' as const) : (oneOf<ModelName>(given, 'model', MODELS) as ModelName)
  const timeoutS = numberOf(given, 'timeout', 0.001, 2_000_000)
  const memoryMb = numberOf(given, 'memory', MEMORY_MIN_MB, 1_000_000) ?? MEMORY_DEFAULT_MB
  const total = numberOf(given, 'total', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  const initial = jsonOf(given, 'initial')
  if (path !== STANDARD_INPUT) statOrComplain(path)
  if (own) statOrComplain(modelText)
  const job: CheckJob = {
    path,
    model,
    ...(own ? { modelFile: modelText } : {}),
    ...(level === undefined ? {} : { level }),
    ...(format === undefined || format === 'auto' ? {} : { format }),
    ...(total === undefined ? {} : { total }),
    ...(initial === undefined ? {} : { initial }),
    ...(flag(given, 'negative-balances') ? { negativeBalances: true } : {}),
    ...(flag(given, 'independent') ? { independent: true } : {}),
    allowDuplicates: flag(given, 'allow-duplicates'),
  }
  const started = performance.now()
  const answer = await runWatched(job, {
    timeoutMs: timeoutS === undefined ? undefined : timeoutS * 1000,
    memoryMb: Math.round(memoryMb),
  })
  switch (answer.kind) {
    case 'verdict':
      return reportOf(answer.verdict, path, given)
    case 'stopped':
      return reportOf(
        {
          verdict: 'unknown',
          model: modelText,
          operations: 0,
          anomalies: [],
          reason: answer.reason,
          seconds: (performance.now() - started) / 1000,
        },
        path,
        given,
      )
    case 'malformed':
      throw new CliError('CHECK_MALFORMED', EXIT.data, `${path}: ${answer.message}`)
    case 'usage':
      throw usageError(answer.message)
    case 'unreadable':
      throw new CliError('CHECK_UNREADABLE', EXIT.data, answer.message)
    case 'failed':
      throw new CliError('CHECK_FAILED', EXIT.unreachable, `the check failed: ${answer.message}`)
  }
}

function reportOf(verdict: Verdict, path: string, given: Given): Report {
  const html = textValue(given, 'html')
  if (html !== undefined) writePage(html, htmlReport(verdict, { title: basename(path) }))
  return { exitCode: EXIT_OF[verdict.verdict], text: textOf(verdict, html), data: verdict }
}

const SHOWN_MAX = 5

function textOf(verdict: Verdict, html: string | undefined): string {
  const level = verdict.level === undefined ? '' : ` at ${verdict.level}`
  const lines = [
    `${verdict.verdict}: ${verdict.operations.toLocaleString('en')} operation${verdict.operations === 1 ? '' : 's'}, model ${verdict.model}${level}, ${verdict.seconds.toFixed(2)} s`,
  ]
  if (verdict.reason !== undefined) lines.push(`  ${verdict.reason}`)
  for (const { type, explanation, operations } of verdict.anomalies.slice(0, SHOWN_MAX)) {
    lines.push('', `${type}`, `  ${explanation}`)
    const nameWidth = Math.max(...operations.map((o) => o.name.length))
    for (const o of operations.slice(0, 12)) {
      const mark = o.status === 'ok' ? '' : o.status === 'info' ? ' (no answer)' : ' (failed)'
      lines.push(`    ${o.name.padEnd(nameWidth)}  process ${o.session}  ${o.operations.join('; ')}${mark}`)
    }
  }
  const more = verdict.anomalies.length - SHOWN_MAX
  if (more > 0) lines.push('', `and ${more} more: see --json or --html`)
  if (html !== undefined) lines.push('', `report: ${html}`)
  return printable(`${lines.join('\n')}\n`)
}

function oneOf<T extends string>(given: Given, name: string, allowed: readonly T[]): T | undefined {
  const value = textValue(given, name)
  if (value === undefined) return undefined
  if (!(allowed as readonly string[]).includes(value)) {
    throw usageError(`--${name} cannot be "${value}": choose ${allowed.join(', ')}`)
  }
  return value as T
}

function levelOf(given: Given): Level | undefined {
  const name = textValue(given, 'level')
  const level = name === undefined ? undefined : levelNamed(name)
  if (name !== undefined && level === undefined) {
    throw usageError(`--level cannot be "${name}": choose ${LEVELS.join(', ')}`)
  }
  return level
}

function jsonOf(given: Given, name: string): unknown {
  const text = textValue(given, name)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    throw usageError(`--${name} must be JSON, such as 0 or "none" with its quotes, got ${text}`)
  }
}

function numberOf(given: Given, name: string, min: number, max: number): number | undefined {
  const text = textValue(given, name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
    throw usageError(`--${name} must be a number from ${min} to ${max}, got "${text}"`)
  }
  return value
}

function statOrComplain(path: string): void {
  try {
    statSync(path)
  } catch (error) {
    throw new CliError('CHECK_UNREADABLE', EXIT.usage, `${path} cannot be read: ${(error as Error).message}`)
  }
}

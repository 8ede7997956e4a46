import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { isHoldfastError } from '../../core/errors.ts'
import { checkHistory, type HistorySource, type Model } from '../../history/index.ts'
import { usageError } from '../cli-error.ts'
import { importModule } from '../import-module.ts'
import { type CheckAnswer, type CheckJob, STANDARD_INPUT } from './job.ts'

const CHUNK_BYTES = 1 << 20

/** Reads the file and checks it, in this process. `orphaned` says that nobody waits for the answer any more. */
export async function runJob(job: CheckJob, orphaned: () => boolean): Promise<CheckAnswer> {
  const deadlineMs =
    job.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + job.timeoutMs
  let source: HistorySource
  try {
    source = sourceOf(job.path)
  } catch (error) {
    return { kind: 'unreadable', message: `${job.path} cannot be read: ${(error as Error).message}` }
  }
  let model: CheckJob['model'] | Model = job.model
  try {
    if (job.modelFile !== undefined) model = await loadModel(job.modelFile)
  } catch (error) {
    return { kind: 'usage', message: (error as Error).message }
  }
  try {
    const verdict = checkHistory(source, {
      model,
      ...(job.level === undefined ? {} : { level: job.level }),
      ...(job.format === undefined ? {} : { format: job.format }),
      ...(job.independent === undefined ? {} : { independent: job.independent }),
      ...(job.allowDuplicates === undefined ? {} : { allowDuplicates: job.allowDuplicates }),
      ...(job.initial === undefined ? {} : { initial: job.initial }),
      ...(job.total === undefined ? {} : { total: job.total }),
      ...(job.negativeBalances === undefined ? {} : { negativeBalances: job.negativeBalances }),
      expired: () => performance.now() > deadlineMs || orphaned(),
    })
    return { kind: 'verdict', verdict }
  } catch (error) {
    if (isHoldfastError(error)) {
      const { code, message } = error
      if (code === 'HISTORY_MALFORMED' || code === 'HISTORY_OPERATION') {
        return { kind: 'malformed', code, message }
      }
      if (code === 'CONFIG_INVALID') return { kind: 'usage', message }
    }
    return { kind: 'failed', message: (error as Error).stack ?? String(error) }
  }
}

/** Reads a file in pieces; what can be read but once, and what is packed, as a whole. */
function sourceOf(path: string): HistorySource {
  if (path === STANDARD_INPUT) return { bytes: unpacked(readFileSync(0)) }
  const stats = statSync(path)
  if (stats.isDirectory()) {
    const names = readdirSync(path).filter((name) => name.endsWith('.log'))
    if (names.length === 0) throw new Error('the folder holds no *.log, which is what Cobra writes')
    return { logs: names.map((name) => ({ name, bytes: readFileSync(join(path, name)) })) }
  }
  if (!stats.isFile()) return { bytes: unpacked(readFileSync(path)) }
  const fd = openSync(path, 'r')
  const head = new Uint8Array(4096)
  const length = readSync(fd, head, 0, head.length, 0)
  closeSync(fd)
  if (isGzip(head)) return { bytes: gunzipSync(readFileSync(path)) }
  return { head: head.subarray(0, length), chunks: { [Symbol.iterator]: () => chunksOf(path) } }
}

function unpacked(bytes: Uint8Array): Uint8Array {
  return isGzip(bytes) ? gunzipSync(bytes) : bytes
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

function* chunksOf(path: string): Generator<Uint8Array> {
  const fd = openSync(path, 'r')
  try {
    const buffer = new Uint8Array(CHUNK_BYTES)
    for (;;) {
      const length = readSync(fd, buffer, 0, buffer.length, null)
      if (length === 0) return
      yield buffer.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}

interface Exported extends Partial<Model> {
  readonly default?: Partial<Model>
  readonly model?: Partial<Model>
}

/** @throws CliError for a module that cannot be loaded, or exports no model */
async function loadModel(path: string): Promise<Model> {
  const module = (await importModule(path)) as Exported & { default?: Exported }
  // A file of a package without "type": "module" comes wrapped once more.
  const model = module.default?.default ?? module.default ?? module.model
  if (typeof model?.init !== 'function' || typeof model.step !== 'function') {
    throw usageError(`${path} exports no model: the default export needs the functions init and step`)
  }
  return { name: path, ...model } as Model
}

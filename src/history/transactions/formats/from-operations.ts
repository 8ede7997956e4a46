import { type Check, checkArguments, show as shown } from '../../../core/options.ts'
import { isClient } from '../../operation.ts'
import { FAIL, INFO, OK, type TransactionHistory, TransactionHistoryBuilder } from '../history.ts'
import type { Datum } from '../intern.ts'
import { MalformedHistoryError } from '../malformed.ts'

/** An operation as Jepsen's tools write it, read from EDN or JSON. What else an operation has is not looked at. */
export interface OperationLike {
  readonly type: unknown
  readonly process?: unknown
  readonly f?: unknown
  readonly value?: unknown
  /** Line in the source, for messages; else the position in the array is told. */
  readonly line?: number
}

/** Stands for the process of operations that name none. Each of them is then a session of its own. */
export const NO_PROCESS = 'none'

const MICRO_OP_MODELS = ['list-append', 'rw-register', 'set'] as const
export type MicroOpModel = (typeof MICRO_OP_MODELS)[number]

export function isMicroOpModel(model: unknown): Check {
  const known: readonly unknown[] = MICRO_OP_MODELS
  return known.includes(model) || `model must be one of ${MICRO_OP_MODELS.join(', ')}, got ${shown(model)}`
}

/**
 * Turns invocations and answers into transactions. `value` is a list of micro-operations: `["r", key, value]`,
 * `["w", key, value]`, `["append", key, value]`, for sets `["add", key, value]`; a fourth element is the version that
 * the database gave to what was read or written. `ok` committed, `fail` did not, `info` and an invocation without an
 * answer may have. Of those only the writes count. Positions in the array are real time. Operations of
 * `nemesis` and `log` are skipped.
 * @throws MalformedHistoryError with the line, or the index where lines are not known.
 */
export function transactionsFromOperations(
  operations: Iterable<OperationLike>,
  model: MicroOpModel,
): TransactionHistory {
  checkArguments(
    'transactionsFromOperations',
    (typeof operations === 'object' && operations !== null && Symbol.iterator in operations) ||
      `operations must be an iterable of events, got ${shown(operations)}`,
    isMicroOpModel(model),
  )
  const builder = new TransactionHistoryBuilder()
  const pending = new Map<Datum, { op: OperationLike; at: number; where: number }>()
  let index = 0
  let lines = false
  for (const op of operations) {
    const at = index++
    lines ||= op.line !== undefined
    const where = op.line ?? at
    const type = wordOf(op.type)
    const process = plain(op.process) ?? NO_PROCESS
    if (!isClient(process)) continue
    if (type === 'invoke') {
      const other = pending.get(process)
      if (other !== undefined && process !== NO_PROCESS) {
        throw malformed(
          where,
          op,
          `process ${process} sends an operation while another (${unitOf(other.op)} ${other.where}) has no answer`,
        )
      }
      if (process === NO_PROCESS && other !== undefined) add(INFO, other, undefined, process)
      pending.set(process, { op, at, where })
      continue
    }
    if (type !== 'ok' && type !== 'fail' && type !== 'info') {
      throw malformed(
        where,
        op,
        `type must be invoke, ok, fail or info, got ${JSON.stringify(op.type) ?? 'nothing'}`,
      )
    }
    const sent = pending.get(process)
    pending.delete(process)
    add(type === 'ok' ? OK : type === 'fail' ? FAIL : INFO, sent, { op, at, where }, process)
  }
  for (const [process, sent] of pending) add(INFO, sent, undefined, process)
  if (index === 0) throw new MalformedHistoryError(0, 'the history holds no operation', 'operation')
  return builder.finish({
    definition: 'adya',
    unit: lines ? 'line' : 'operation',
    unordered: model === 'set',
  })

  function add(
    status: number,
    sent: { op: OperationLike; at: number; where: number } | undefined,
    answered: { op: OperationLike; at: number; where: number } | undefined,
    process: Datum,
  ): void {
    const told = answered ?? (sent as { op: OperationLike; at: number; where: number })
    let value = told.op.value
    if (status !== OK && !Array.isArray(value)) value = sent?.op.value
    if (value === undefined || value === null) {
      if (status !== OK) return
      throw malformed(told.where, told.op, 'an ok operation has no value')
    }
    if (!Array.isArray(value))
      throw malformed(told.where, told.op, `value must be a list of micro-operations, got ${show(value)}`)
    builder.begin({
      session: process === NO_PROCESS ? `unnamed ${told.where}` : process,
      status,
      invokedAt: sent?.at ?? -1,
      completedAt: status === OK ? (answered?.at ?? -1) : -1,
      at: told.where,
    })
    for (const micro of value)
      microOp(builder, micro, model, status, (problem) => malformed(told.where, told.op, problem))
  }
}

/** Adds one micro-operation; `fail` makes the error. */
export function microOp(
  builder: TransactionHistoryBuilder,
  micro: unknown,
  model: MicroOpModel,
  status: number,
  fail: (problem: string) => Error,
): void {
  if (!Array.isArray(micro) || micro.length < 2)
    throw fail(`expected a micro-operation like ["r", "x", 1], got ${show(micro)}`)
  const f = wordOf(micro[0])
  const key = plain(micro[1])
  const value: unknown = micro[2]
  const version: unknown = micro[3]
  if (key === null || key === undefined) throw fail(`a micro-operation has no key: ${show(micro)}`)
  if (
    version !== undefined &&
    version !== null &&
    typeof version !== 'number' &&
    typeof version !== 'bigint'
  ) {
    throw fail(`a version must be a number, got ${show(version)}`)
  }
  const v = version === undefined || version === null ? undefined : Number(version)
  // Two versions must not become one.
  if (v !== undefined && !(Math.abs(v) <= Number.MAX_SAFE_INTEGER)) {
    throw fail(`a version must be a number below 2^53, got ${show(version)}`)
  }
  if (f === 'r' || f === 'read') {
    if (status !== OK) return
    if (model === 'rw-register') builder.read(key, plain(value) ?? null, v)
    else {
      const list = value === null || value === undefined ? [] : listOf(value)
      if (list === undefined)
        throw fail(`a read of a ${model === 'set' ? 'set' : 'list'} must hold one, got ${show(value)}`)
      builder.readList(
        key,
        list.map((item) => plain(item) ?? 'nil'),
      )
    }
    return
  }
  const wanted = model === 'rw-register' ? 'w' : model === 'set' ? 'add' : 'append'
  if (f !== wanted && !(f === 'write' && wanted === 'w')) {
    throw fail(`micro-operation ${show(micro[0])} does not belong to ${model}, which has r and ${wanted}`)
  }
  const written = plain(value)
  if (written === null || written === undefined) throw fail(`a write has no value: ${show(micro)}`)
  builder.write(key, written, v)
}

/** EDN keywords, however the reader hands them over, and strings. */
function wordOf(value: unknown): string {
  const text = plain(value)
  return typeof text === 'string' ? text.replace(/^:/, '') : ''
}

function plain(value: unknown): Datum | null | undefined {
  if (typeof value !== 'object' || value === null) return value as Datum | null | undefined
  if ('name' in value && typeof value.name === 'string') return value.name
  return value
}

function listOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  if (value instanceof Set) return [...value]
  return undefined
}

function unitOf(op: OperationLike): string {
  return op.line === undefined ? 'operation' : 'line'
}

function malformed(where: number, op: OperationLike, problem: string): MalformedHistoryError {
  return new MalformedHistoryError(where, problem, unitOf(op))
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v)) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

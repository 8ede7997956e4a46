import { checkArguments } from '../../../core/options.ts'
import { INFO, OK, type TransactionHistory, TransactionHistoryBuilder } from '../history.ts'
import { MalformedHistoryError } from '../malformed.ts'

/** The log of one client. */
export interface CobraLog {
  readonly name: string
  readonly bytes: Uint8Array
}

const INITIAL = 0xbebeebeen
const NULL = 0xdeadbeefn
const COLLECTED = [0x23332333n, 0x66666666n]

/**
 * Cobra's logs, one per client (`*.log` of a folder), which is a session. Big-endian records: `S id` begins and `C id`
 * commits a transaction, `W writeId key value` and `R writerId writeId key value` are its operations; write ids name
 * values. A transaction that was begun and not committed may or may not have happened.
 * @throws MalformedHistoryError with the log and the byte.
 */
export function parseCobra(logs: readonly CobraLog[]): TransactionHistory {
  checkArguments(
    'parseCobra',
    (Array.isArray(logs) &&
      logs.every((log) => typeof log?.name === 'string' && log.bytes instanceof Uint8Array)) ||
      'logs must be an array of { name, bytes }',
  )
  const builder = new TransactionHistoryBuilder()
  let operations = 0
  for (const { name, bytes } of [...logs].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    let current: { id: bigint; at: number; ops: { write: boolean; key: bigint; id: bigint }[] } | undefined
    const fail = (where: number, problem: string): never => {
      throw new MalformedHistoryError(where, `${problem} (in ${name})`, 'byte')
    }
    const whole = (): bigint => {
      if (at + 8 > bytes.length) fail(at, 'the log ends in the middle of a record')
      const value = view.getBigInt64(at)
      at += 8
      return value
    }
    const close = (status: number): void => {
      if (current === undefined) return
      builder.begin({ session: name, status, at: Number(current.id) })
      for (const { write, key, id } of current.ops) {
        operations++
        if (write) builder.write(key, id)
        else if (status !== OK) builder.read(key, undefined)
        else builder.read(key, id === INITIAL || id === NULL ? null : id)
      }
      current = undefined
    }
    while (at < bytes.length) {
      const start = at
      const record = String.fromCharCode(bytes[at++] as number)
      if (record === 'S') {
        if (current !== undefined) fail(start, 'a transaction begins inside another')
        current = { id: whole(), at: start, ops: [] }
      } else if (record === 'C') {
        const id = whole()
        if (current === undefined) return fail(start, `transaction ${id} commits and did not begin`)
        if (current.id !== id) fail(start, `transaction ${id} commits inside transaction ${current.id}`)
        close(OK)
      } else if (record === 'W') {
        const id = whole()
        const key = whole()
        whole()
        if (current === undefined) return fail(start, 'a write outside of a transaction')
        current.ops.push({ write: true, key, id })
      } else if (record === 'R') {
        whole()
        const id = whole()
        const key = whole()
        whole()
        if (current === undefined) return fail(start, 'a read outside of a transaction')
        if (!COLLECTED.includes(id)) current.ops.push({ write: false, key, id })
      } else if (record === 'A') {
        fail(start, 'an aborted transaction, which Cobra does not log')
      } else fail(start, `expected a record S, C, W or R, got byte ${bytes[start]}`)
    }
    close(INFO)
  }
  if (operations === 0) throw new MalformedHistoryError(0, 'the logs hold no operation', 'byte')
  return builder.finish({ definition: 'axiomatic', unit: 'transaction' })
}

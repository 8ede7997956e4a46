import type { HistoryEvent } from '../../../src/history/operation.ts'

/**
 * A history in one line: `0>write:1` process 0 invokes, `0=` it is answered, `0=3` with a value, `0=!false` with a result,
 * `0?` nobody knows, `0-` it did not happen. A value is JSON without spaces; `0>write@x:1` names the key.
 */
export function history(line: string): HistoryEvent[] {
  return line
    .trim()
    .split(/\s+/)
    .map((token): HistoryEvent => {
      const match = /^(\d+)(?:>([\w-]+)(?:@(\w+))?(?::(.+))?|(=)(!?)(.*)|([?-]))$/.exec(token)
      if (match === null) throw new Error(`no event: ${token}`)
      const [, process, f, key, value, ok, no, answer, other] = match
      const at = { process: Number(process) }
      if (f !== undefined) {
        open.set(at.process, f)
        return {
          ...at,
          type: 'invoke',
          f,
          value: value === undefined ? null : JSON.parse(value),
          ...(key === undefined ? {} : { key }),
        }
      }
      const begun = open.get(at.process) ?? 'read'
      if (ok === undefined) return { ...at, type: other === '?' ? 'info' : 'fail', f: begun }
      if (answer === '') return { ...at, type: 'ok', f: begun }
      const said: unknown = JSON.parse(answer as string)
      return { ...at, type: 'ok', f: begun, ...(no === '!' ? { result: said } : { value: said }) }
    })
}

const open = new Map<number, string>()

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkHistory } from '../../src/history/index.ts'
import type { TruthCase, TruthSet } from '../truth.ts'

/** Porcupine's logs: the etcd logs of Jepsen, one register each, and key-value logs of up to 50 clients. */
export function linearizabilitySets(shared: string): TruthSet[] {
  return [
    porcupine(shared, 'porcupine, etcd logs', 'jepsen-etcd', 'cas-register'),
    porcupine(shared, 'porcupine, key-value logs', 'kv', 'kv'),
  ]
}

function porcupine(shared: string, name: string, folder: string, model: 'cas-register' | 'kv'): TruthSet {
  return {
    name,
    folder: `porcupine/${folder}`,
    *cases() {
      const file = join(shared, 'porcupine/expected.json')
      const { linearizable } = JSON.parse(readFileSync(file, 'utf8')) as {
        linearizable: Record<string, boolean>
      }
      for (const [log, expected] of Object.entries(linearizable)) {
        if (!log.startsWith(`${folder}/`)) continue
        yield caseOf(join(shared, 'porcupine', log), log, expected, model)
      }
    },
  }
}

function caseOf(path: string, name: string, expected: boolean, model: 'cas-register' | 'kv'): TruthCase {
  return {
    name,
    expected: expected ? 'valid' : 'invalid',
    actual() {
      if (!existsSync(path)) return 'missing'
      const { verdict, reason } = checkHistory({ bytes: readFileSync(path) }, { model })
      return reason === undefined ? verdict : `${verdict}: ${reason}`
    },
  }
}

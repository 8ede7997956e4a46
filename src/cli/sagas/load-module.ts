import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { AnySaga } from '../../saga/runner-options.ts'
import { CliError, usageError } from '../cli-error.ts'
import { EXIT } from '../command.ts'

/** The sagas that a module of the user's exports. @throws CliError when it cannot be imported or exports none */
export async function loadSagas(path: string): Promise<AnySaga[]> {
  if (!existsSync(path)) throw usageError(`there is no file ${resolve(path)}`)
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>
  } catch (cause) {
    throw new CliError(
      'MODULE_UNREADABLE',
      EXIT.problem,
      `${path} cannot be imported: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
  const values = Object.values(module).flatMap((value) =>
    Array.isArray(value) ? value : [value],
  ) as Partial<AnySaga>[]
  const sagas = values.filter(
    (value) => typeof value?.code === 'function' && typeof value?.start === 'function',
  )
  if (sagas.length === 0) throw usageError(`${path} exports no saga`)
  return [...new Map(sagas.map((saga) => [saga.name, saga as AnySaga])).values()]
}

import type { AnySaga } from '../../saga/runner-options.ts'
import { usageError } from '../cli-error.ts'
import { importModule } from '../import-module.ts'

/** The sagas that a module of the user's exports. @throws CliError when it cannot be imported or exports none */
export async function loadSagas(path: string): Promise<AnySaga[]> {
  const module = await importModule(path)
  // What a file of a package without "type": "module" exports may come wrapped in its default.
  const values = [module, module.default ?? {}].flatMap((given) => Object.values(given).flat())
  const sagas = values.filter(
    (value): value is AnySaga => typeof value?.code === 'function' && typeof value?.start === 'function',
  )
  if (sagas.length === 0) throw usageError(`${path} exports no saga`)
  return [...new Map(sagas.map((saga) => [saga.name, saga])).values()]
}

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

type TsxEntry = './esm/api' | './cjs/api'

interface TsxManifest {
  readonly exports: Readonly<Record<TsxEntry, { readonly import: { readonly default: string } }>>
}

/**
 * Has this thread run TypeScript by the `tsx` that the file's project has installed; false where it has none. Each thread
 * does so for itself: before Node 22 a worker does not inherit what its parent registered, nor does `--import tsx` reach it.
 */
export async function registerTsx(path: string): Promise<boolean> {
  let manifest: string
  try {
    manifest = createRequire(path).resolve('tsx/package.json')
  } catch {
    return false
  }
  // Loaded as a module, since the face of tsx for require() looks for its loader in the wrong place.
  const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as TsxManifest
  // Both: a file is CommonJS where its package does not say "type": "module".
  for (const entry of ['./cjs/api', './esm/api'] as const) {
    const api = new URL(exports[entry].import.default, pathToFileURL(manifest))
    const { register } = (await import(api.href)) as { register(): unknown }
    register()
  }
  return true
}

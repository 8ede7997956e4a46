/** Runs once before the tests that need a database, in the main process; the workers inherit its environment. */
import type { TestProject } from 'vitest/node'
import { type DatabaseSources, prepareDatabaseSources } from './database-sources.ts'
import { removeLeftovers, tempFolder } from './files.ts'
import { startPostgres } from './postgres-server.ts'
import { RUN_FOLDER, stopSharedServers } from './servers.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A superuser's URL of a PostgreSQL server that belongs to the tests. */
    postgresUrl: string
    /** What the databases of the tests on that server are copied from. */
    databaseSources: DatabaseSources
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  removeLeftovers()
  const given = process.env.HOLDFAST_TEST_POSTGRES_URL
  const own = given === undefined ? await startPostgres() : undefined
  const postgresUrl = given ?? own?.url ?? ''
  const folder = tempFolder('run')
  project.provide('postgresUrl', postgresUrl)
  process.env.HOLDFAST_TEST_POSTGRES_URL = postgresUrl
  process.env[RUN_FOLDER] = folder.path

  const killSync = () => {
    own?.killSync()
    stopSharedServers(folder.path)
    folder.remove()
  }
  process.once('exit', killSync) // an interrupted run does not reach the teardown
  const { sources, remove } = await prepareDatabaseSources(postgresUrl)
  project.provide('databaseSources', sources)
  return async () => {
    process.off('exit', killSync)
    await remove()
    stopSharedServers(folder.path)
    folder.remove()
    if (own === undefined) return
    await own.stop()
    delete process.env.HOLDFAST_TEST_POSTGRES_URL // in watch mode the next run starts its own
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { type DatabaseAddress, loadSqlite } from '../shared/database.ts'

/**
 * Stops this process by SIGSTOP, at a moment when it has no transaction open on a SQLite file: a writer that is stopped
 * there holds the file, and nobody can take over from it. Fulfils when somebody lets the process go on.
 */
export async function stopBetweenTransactions(addresses: readonly DatabaseAddress[]): Promise<void> {
  const open = await loadSqlite()
  const files = addresses.flatMap((address) => (address.kind === 'sqlite' ? open(address.path) : []))
  try {
    for (const file of files) file.exec('pragma busy_timeout = 0')
    for (;;) {
      try {
        // From the other side: whoever gets a turn beside this process knows that it has none.
        for (const file of files) file.exec('begin immediate; rollback')
        break
      } catch {
        await sleep(1)
      }
    }
    process.kill(process.pid, 'SIGSTOP')
  } finally {
    for (const file of files) file.close()
  }
}

import type { Progress, RunResult } from '../run/run.ts'

export interface Screen {
  show(run: string, progress: Progress): void
  done(run: string, result: RunResult): void
}

/** A bar that is redrawn on a terminal; elsewhere a line now and then. With `--json` it all goes to standard error. */
export function screen(
  io: { out(text: string): void; err(text: string): void; readonly colour: boolean },
  json: boolean,
): Screen {
  const stream = json ? process.stderr : process.stdout
  const write = json ? io.err : io.out
  return stream.isTTY === true ? bar(write, stream.columns ?? 80) : lines(write)
}

const NAME = 20

function bar(write: (text: string) => void, columns: number): Screen {
  const cells = Math.max(10, Math.min(30, columns - 64))
  return {
    show(run, { phase, ended, orders, kills, faults }) {
      const filled = Math.round((cells * ended) / orders)
      const drawn = '█'.repeat(filled) + '░'.repeat(cells - filled)
      const words = phase === 'running' ? '' : `, ${phase}`
      write(
        `\r\u001b[K  ${run.padEnd(NAME)}${drawn} ${ended}/${orders} orders, ${kills} kills, ${faults} faults${words}`,
      )
    },
    done(run, result) {
      write(`\r\u001b[K${summary(run, result)}`)
    },
  }
}

function lines(write: (text: string) => void): Screen {
  let said = ''
  return {
    show(run, { phase, ended, orders, kills, faults }) {
      const quarter = Math.floor((4 * ended) / orders)
      const key = `${run} ${phase} ${phase === 'running' ? quarter : ''}`
      if (key === said || phase === 'starting') return
      said = key
      write(`  ${run}: ${phase}, ${ended}/${orders} orders ended, ${kills} kills, ${faults} faults\n`)
    },
    done: (run, result) => write(summary(run, result)),
  }
}

function summary(run: string, { ended, orders, durationMs, kills }: RunResult): string {
  return `  ${run.padEnd(NAME)}${ended} of ${orders} orders ended in ${(durationMs / 1000).toFixed(1)} s, ${kills} kills\n`
}

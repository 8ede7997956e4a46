/** What a parent tells the program of its child: the first and the last word, and orders in between. */
export type ToProgram<Config, Order> =
  | { readonly kind: 'start'; readonly config: Config }
  | { readonly kind: 'order'; readonly order: Order }
  | { readonly kind: 'stop' }

/** The process that started this one, as its program sees it. */
export interface Parent<Order, Message> {
  tell(message: Message): void
  /** What comes from now on; an order that came before had no reader. */
  onOrder(read: (order: Order) => void): void
}

/**
 * Runs this process as the child of another one (see `Child`): `begin` makes it what the parent's `start` says, and gives
 * the way to stop it. It ends when it was told to stop, when `begin` or stopping fails, and when its parent is gone.
 */
export function runAsChild<Config, Order, Message>(
  begin: (config: Config, parent: Parent<Order, Message>) => Promise<() => Promise<void>>,
): void {
  type Told = ToProgram<Config, Order>
  const parent: Parent<Order, Message> = {
    tell(message) {
      if (process.connected) process.send?.(message, undefined, {}, () => {})
    },
    onOrder(read) {
      process.on('message', (told: Told) => {
        if (told.kind === 'order') read(told.order)
      })
    },
  }
  process.on('disconnect', () => process.exit(0))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {}) // Ctrl-C is the parent's to handle
  let begun: Promise<() => Promise<void>> | undefined
  process.on('message', (told: Told) => {
    if (told.kind === 'start') {
      begun = begin(told.config, parent)
      begun.catch(fail)
    } else if (told.kind === 'stop') {
      end(begun).catch(fail)
    }
  })
}

async function end(begun: Promise<() => Promise<void>> | undefined): Promise<void> {
  const stop = await begun
  await stop?.()
  process.exit(0)
}

function fail(error: unknown): void {
  process.stderr.write(`${(error as Error).stack}\n`)
  process.exit(1)
}

import { channelOf, Listener, type OpenListenClient } from '../store/listener.ts'
import { decodeAnnouncement, notifyOf } from './channel.ts'
import type { RelayContext } from './relay-context.ts'

/**
 * Hears of commits of other processes, with their partitions where they are known.
 *
 * What is not heard while the connection is down is found since `onHeard(undefined)` follows each opening and each
 * loss; and the poll goes on all the time, more seldom while this works.
 * @throws UnsupportedError
 */
export function relayListener(
  { store, outbox, options }: RelayContext,
  open: OpenListenClient,
  onHeard: (partitions: readonly number[] | undefined) => void,
): Listener {
  const channel = channelOf(store, 'outbox', outbox.name)
  return new Listener({
    clock: store.clock,
    open,
    listen: notifyOf(store, 'relay({ listen })').listen(channel),
    onHeard: (payload) => onHeard(decodeAnnouncement(payload)),
    onBroken: (error, waitMs) =>
      options.log.warn('the relay does not hear of commits of other processes; it polls, and tries again', {
        channel,
        waitMs: Math.round(waitMs),
        error,
      }),
  })
}

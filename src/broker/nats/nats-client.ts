/** The parts of `@nats-io/jetstream` 3 and `@nats-io/nats-core` 3 that this adapter calls. The application brings them. */
export interface JetStreamLike {
  publish(
    subject: string,
    payload: string,
    // biome-ignore lint/suspicious/noExplicitAny: `headers` is a class of the driver, made by the function passed in
    options: { msgID: string; headers: any; timeout: number; expect: { streamName: string } },
  ): Promise<{ readonly duplicate: boolean }>
  jetstreamManager(checkAPI?: boolean): Promise<JetStreamManagerLike>
  readonly consumers: { get(stream: string, name: string): Promise<NatsConsumerLike> }
}

export interface NatsHeadersLike {
  set(name: string, value: string): void
  get(name: string): string
}

export interface JetStreamManagerLike {
  readonly streams: {
    info(stream: string): Promise<unknown>
    // biome-ignore lint/suspicious/noExplicitAny: the driver's configuration types are enums and many fields
    add(config: any): Promise<unknown>
  }
  readonly consumers: {
    // biome-ignore lint/suspicious/noExplicitAny: see above
    add(stream: string, config: any): Promise<unknown>
    delete(stream: string, consumer: string): Promise<boolean>
    list(stream: string): AsyncIterable<NatsConsumerInfo>
  }
}

export interface NatsConsumerInfo {
  readonly name: string
  readonly created: string
  readonly ack_floor: { readonly stream_seq: number }
  readonly delivered: { readonly stream_seq: number }
}

export interface NatsConsumerLike {
  consume(options: {
    max_messages: number
    expires: number
    abort_on_missing_resource: boolean
    callback: (message: NatsMessageLike) => void
  }): Promise<NatsMessagesLike>
}

export interface NatsMessagesLike {
  // biome-ignore lint/suspicious/noConfusingVoidType: as the driver declares it
  close(): Promise<void | Error>
  // biome-ignore lint/suspicious/noConfusingVoidType: as the driver declares it
  closed(): Promise<void | Error>
}

export interface NatsMessageLike {
  readonly redelivered: boolean
  readonly info: { readonly streamSequence: number; readonly deliverySequence: number }
  readonly headers: NatsHeadersLike | undefined
  string(): string
  ackAck(options: { timeout: number }): Promise<boolean>
}

/** The part of `rabbitmq-client` 5 that this adapter calls. The application brings the driver. */
export interface RabbitConnectionLike {
  readonly ready: boolean
  acquire(options?: { emitErrorsFromChannel?: boolean }): Promise<RabbitChannelLike>
  on(event: 'error', listener: (error: unknown) => void): unknown
  listenerCount(event: 'error'): number
}

export interface RabbitChannelLike {
  readonly active: boolean
  close(): Promise<void>
  confirmSelect(): Promise<void>
  exchangeDeclare(params: { exchange: string; type: string; durable: boolean }): Promise<void>
  queueDeclare(params: {
    queue: string
    durable: boolean
    arguments: Record<string, string | number | boolean>
  }): Promise<unknown>
  queueBind(params: { queue: string; exchange: string; routingKey: string }): Promise<void>
  queueDelete(params: { queue: string }): Promise<unknown>
  basicQos(params: { prefetchCount: number }): Promise<void>
  basicPublish(envelope: RabbitEnvelope, body: Buffer): Promise<void>
  basicConsume(params: { queue: string }, callback: (message: RabbitMessageLike) => void): Promise<unknown>
  basicAck(params: { deliveryTag: number }): void
  on(event: 'basic.return', listener: (message: RabbitMessageLike) => void): unknown
  on(event: 'basic.cancel', listener: (consumerTag: string, error: unknown) => void): unknown
  on(event: 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
}

export interface RabbitEnvelope {
  readonly exchange: string
  readonly routingKey: string
  readonly mandatory: boolean
  readonly durable: boolean
  readonly messageId?: string
  readonly correlationId: string
  readonly contentType: string
  readonly contentEncoding: string
  readonly headers: Record<string, unknown>
}

export interface RabbitMessageLike {
  readonly correlationId?: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: header tables hold values of any AMQP type
  readonly headers?: Record<string, any> | undefined
  // biome-ignore lint/suspicious/noExplicitAny: a Buffer, or what the driver made of it by the content type
  readonly body: any
  readonly deliveryTag?: number
  readonly redelivered?: boolean
  readonly replyText?: string
}

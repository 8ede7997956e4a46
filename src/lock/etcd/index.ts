export type {
  EtcdKeepAliveStream,
  EtcdLike,
  EtcdRangeResponse,
  EtcdTxnResponse,
  EtcdWatchBuilder,
  EtcdWatcher,
} from './etcd-client.ts'
export { type EtcdLocksOptions, etcdLocks } from './etcd-engine.ts'

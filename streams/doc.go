// Package streams is how a saga lives in JetStream: it knows every subject, header and stream setting.
//
//	ns, err := streams.Ensure(ctx, streams.Config{Conn: nc})     // create or verify the streams
//	log := ns.Log()                                              // a saga.Journal
//	err = ns.Start(ctx, key, saga.Start{Run: run, State: state}) // one message starts a saga
//
// # Subjects
//
//	saga.<ns>.<shard>.<definition>.<id>.cmd            commands
//	saga.<ns>.<shard>.<definition>.<id>.evt            commits
//	saga.<ns>.<shard>.<definition>.<id>.timer.<name>   pending schedules; they fire at .cmd
//	saga.<ns>.<shard>.<definition>.<id>.out.<topic>    what steps have emitted, for others
//	saga.<ns>.dead.<shard>.<definition>.<id>           commands set aside, with the reason
//	saga.<ns>.poke.<worker>                            core NATS: the log of a saga has moved on
//
// The shard is a hash of definition and id and never changes. A stream SAGA_<ns>_<n> lists the shards that it
// owns; publishers need no map, since JetStream routes by subject.
//
// # Guarantees
//
// An append is a compare-and-set on the exact .evt subject: of two writers at one revision, one succeeds and
// the other gets [saga.ErrConflict] and writes nothing. A Start is a compare-and-set on the exact .cmd subject,
// so it is its own deduplication for as long as the history is kept. What was acknowledged is stored on a
// majority of replicas; what a power cut can take from a single replica is the time since the server's last
// sync, see docs/guarantees.md.
//
// # What it expects
//
// A server with JetStream of at least [MinServerVersion]. Streams are never given a MaxAge or a limit that
// discards old messages: a full store refuses, it never forgets.
package streams

package projections

import (
	"context"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Record is a command or a commit as it stands in a stream, not decoded.
type Record struct {
	Key      saga.Key
	Commit   bool // of the saga's log; else a command to it
	Data     []byte
	Sequence uint64    // in its stream
	Time     time.Time // when it was stored
	// Purged: the saga was purged from its stream; whatever was told of it before is void.
	Purged bool
	// Restored: the saga had been exported, and this was told before by the stream that it was exported from.
	Restored bool
}

// Shard gives the shard of the record's saga.
func (r *Record) Shard() shard.Shard { return shard.Of(r.Key.Definition, r.Key.ID) }

// Batch is records of one stream in their order, without holes.
type Batch struct {
	Records []Record
	// Pending is how many records of the stream come after these.
	Pending uint64
}

// Handler takes what a feed brings. Its methods are called one after another.
type Handler interface {
	// Begin gives the sequence after which to go on. It is called when the member has become the active one, and
	// whenever the order of what was delivered is in doubt.
	Begin(ctx context.Context) (after uint64, err error)
	// Apply takes the next records. While there are none, it gets an empty batch about every second, to see whether what it
	// has written is still there.
	Apply(ctx context.Context, batch Batch) error
}

// Progress is how far a feed has come with a stream.
type Progress struct {
	Acked uint64 // the stream's sequence up to which everything was handed over and acknowledged
	Lag   uint64 // how many messages come after that
}

// Source is the sagas' streams, as a projector reads them. Package engine has the implementation.
type Source interface {
	// Namespace is the name of the set of sagas.
	Namespace() string
	// Epoch identifies the streams, each in its order: one that was removed and made anew is another.
	Epoch(ctx context.Context) ([]string, error)
	// Streams gives the names of the streams.
	Streams() []string
	// Shards gives the shards that a stream holds.
	Shards(stream string) []shard.Shard
	// Follow reads a stream until ctx ends or the handler fails, whose error it returns. Any number of members may
	// follow it as one feed; one of them is active, and when it falls silent another takes over within a second.
	Follow(ctx context.Context, stream, feed string, h Handler) error
	// Progress tells how far a feed has come with a stream.
	Progress(ctx context.Context, stream, feed string) (Progress, error)
	// Last gives the sequence of the last message that a stream has taken.
	Last(ctx context.Context, stream string) (uint64, error)
	// Feeds gives the names of the feeds that begin with prefix.
	Feeds(ctx context.Context, prefix string) ([]string, error)
	// EndFeed forgets a feed.
	EndFeed(ctx context.Context, name string) error
	// Records gives all that is stored of a saga, in the order of the stream.
	Records(ctx context.Context, key saga.Key) ([]Record, error)
	// Scan calls see with all records of a stream, in their order, as of the call.
	Scan(ctx context.Context, stream string, see func(Record) error) error
}

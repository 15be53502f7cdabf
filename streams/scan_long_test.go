//go:build long

package streams_test

import (
	"testing"

	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// What is left of a stream may go while it is read, as tombstones do.
func TestAScanEndsWhereWhatIsLeftHasGone(t *testing.T) {
	t.Parallel()
	nc := testutil.Connect(t, testutil.NATS(t))
	ns := ensureOn(t, nc, streams.Config{Streams: 1})
	const count = streams.DefaultFeedBatch + 100
	startLarge(t, ns, count, 10)
	stream, err := ns.JetStream().Stream(t.Context(), ns.Streams()[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = ns.Scan(t.Context(), ns.Streams()[0], func(streams.Record) error {
		if seen++; seen == 1 {
			return stream.Purge(t.Context())
		}
		return nil
	})
	if err != nil || seen > streams.DefaultFeedBatch {
		t.Errorf("it has seen %d of %d, %v", seen, count, err)
	}
}

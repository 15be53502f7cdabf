package engine

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
)

// Projector gives what keeps the read models of the client's namespace in Redis up with the streams; call its Run. Any
// number may run, in workers or in processes of their own: one of them is active on each stream, and another goes on
// within a second where it is gone.
func (c *Client) Projector(rdb redis.UniversalClient) (*projections.Projector, error) {
	return projections.NewProjector(projections.ProjectorConfig{
		Redis: rdb, Source: c.Source(), Logger: c.conf.Logger, MeterProvider: c.conf.MeterProvider,
	})
}

// Source gives the client's streams as projections read them.
func (c *Client) Source() projections.Source { return source{c.ns} }

// source is a namespace as projections read it.
type source struct{ ns *streams.Namespace }

func (s source) Namespace() string                              { return s.ns.Name() }
func (s source) Epoch(ctx context.Context) (string, error)      { return s.ns.Epoch(ctx) }
func (s source) Streams() []string                              { return s.ns.Streams() }
func (s source) Shards(stream string) []shard.Shard             { return s.ns.Shards(stream) }
func (s source) EndFeed(ctx context.Context, name string) error { return s.ns.EndFeed(ctx, name) }
func (s source) Feeds(ctx context.Context, prefix string) ([]string, error) {
	return s.ns.Feeds(ctx, prefix)
}

func (s source) Lag(ctx context.Context, stream, feed string) (uint64, error) {
	return s.ns.FeedLag(ctx, stream, feed)
}

func (s source) Records(ctx context.Context, key saga.Key) ([]projections.Record, error) {
	records, err := s.ns.Records(ctx, key)
	return convert(records), err
}

func (s source) Scan(ctx context.Context, n shard.Shard, see func(projections.Record) error) error {
	return s.ns.Scan(ctx, n, func(r streams.Record) error { return see(projections.Record(r)) })
}

func (s source) Follow(ctx context.Context, stream string, feed projections.Feed, h projections.Handler) error {
	return s.ns.Follow(ctx, stream, streams.FeedConfig{
		Name: feed.Name, Definitions: feed.Definitions, CommitsOnly: feed.CommitsOnly,
	}, feedHandler{h})
}

// feedHandler hands over to a projection's handler.
type feedHandler struct{ projections.Handler }

func (h feedHandler) Apply(ctx context.Context, b streams.FeedBatch) error {
	return h.Handler.Apply(ctx, projections.Batch{Records: convert(b.Records), Pending: b.Pending})
}

func convert(records []streams.Record) []projections.Record {
	converted := make([]projections.Record, len(records))
	for i := range records {
		converted[i] = projections.Record(records[i])
	}
	return converted
}

package engine

import (
	"context"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
)

// Projector gives what keeps the read models of the client's namespace up with the streams, for a process that does no
// other work; call its Run. A worker with Redis has one of its own. The error is [ErrNoRedis] where the client has none.
func (c *Client) Projector() (*projections.Projector, error) { return newProjector(c.conf, c.ns) }

// View gives what keeps a read model of the user's own up with the streams; call its Run. Any number may run.
func (c *Client) View(v projections.View) (*projections.Projector, error) {
	if c.conf.Redis == nil {
		return nil, ErrNoRedis
	}
	return projections.NewViewProjector(projectorConfig(c.conf, c.ns), v)
}

func projectorConfig(conf Config, ns *streams.Namespace) projections.ProjectorConfig {
	return projections.ProjectorConfig{
		Redis: conf.Redis, Breaker: conf.breaker, Source: source{ns}, Logger: conf.Logger, MeterProvider: conf.MeterProvider,
		Remember: conf.Retention.Remember,
	}
}

func newProjector(conf Config, ns *streams.Namespace) (*projections.Projector, error) {
	if conf.Redis == nil {
		return nil, ErrNoRedis
	}
	return projections.NewProjector(projectorConfig(conf, ns))
}

// project runs a worker's projector, where it is to have one, until the returned function is called, which waits for
// its end.
func project(ctx context.Context, conf Config, ns *streams.Namespace) (end func(), err error) {
	if conf.Redis == nil || conf.NoProjector {
		return func() {}, nil
	}
	p, err := newProjector(conf, ns)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			conf.Logger.Error("the projector has ended", "error", err)
		}
	}, nil
}

// Source gives the client's streams as projections read them.
func (c *Client) Source() projections.Source { return source{c.ns} }

// source is a namespace as projections read it.
type source struct{ ns *streams.Namespace }

func (s source) Namespace() string                              { return s.ns.Name() }
func (s source) Epoch(ctx context.Context) ([]string, error)    { return s.ns.Epoch(ctx) }
func (s source) Streams() []string                              { return s.ns.Streams() }
func (s source) Shards(stream string) []shard.Shard             { return s.ns.Shards(stream) }
func (s source) EndFeed(ctx context.Context, name string) error { return s.ns.EndFeed(ctx, name) }
func (s source) Feeds(ctx context.Context, prefix string) ([]string, error) {
	return s.ns.Feeds(ctx, prefix)
}

func (s source) Progress(ctx context.Context, stream, feed string) (projections.Progress, error) {
	p, err := s.ns.FeedProgress(ctx, stream, feed)
	return projections.Progress(p), err
}

func (s source) Last(ctx context.Context, stream string) (uint64, error) {
	return s.ns.LastSequence(ctx, stream)
}

func (s source) Records(ctx context.Context, key saga.Key) ([]projections.Record, error) {
	records, err := s.ns.Records(ctx, key)
	return convert(records), err
}

func (s source) Scan(ctx context.Context, stream string, see func(projections.Record) error) error {
	return s.ns.Scan(ctx, stream, func(r streams.Record) error { return see(projections.Record(r)) })
}

func (s source) Follow(ctx context.Context, stream, feed string, h projections.Handler) error {
	return s.ns.Follow(ctx, stream, streams.FeedConfig{Name: feed}, feedHandler{h})
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

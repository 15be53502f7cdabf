package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// Subscription brings events as they happen, for user interfaces. It needs no Redis. Whoever has one calls Stop in the
// end, and until then takes what comes: what is not taken is kept back by the server, not lost. It outlives servers and
// connections. What a newer build has written and this one does not know is left out; a commit that cannot be read at all
// is passed over, and the log tells of it.
type Subscription struct {
	events chan projections.Event
	cancel context.CancelFunc
	ended  chan struct{}

	mu  sync.Mutex
	err error
}

// Events brings the events, those of one saga in order. It is closed when the subscription has ended: see Err.
func (s *Subscription) Events() <-chan projections.Event { return s.events }

// Err tells, once Events is closed, why: nil after Stop or the end of the context, [streams.ErrNotFound] where a stream was
// removed.
func (s *Subscription) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stop ends the subscription, and returns when nothing of it is left in the process. The server forgets its part within a minute.
func (s *Subscription) Stop() {
	s.cancel()
	<-s.ended
}

// eventsKept is how many events a subscription holds that have not been taken.
const eventsKept = 256

// Subscribe gives the events of a saga from a version on, those that have happened first; from 0 on gives those to come.
// The saga need not exist yet. Nothing is missed that happens after the call has returned. It ends with ctx.
func (c *Client) Subscribe(ctx context.Context, key saga.Key, from uint64) (*Subscription, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	return c.subscribe(ctx, func(ctx context.Context, h streams.CommitHandler) error {
		return c.ns.SubscribeSaga(ctx, key, from, h)
	})
}

// SubscribeAll gives the events to come of a definition's sagas, or with "" of all sagas. It ends with ctx.
func (c *Client) SubscribeAll(ctx context.Context, definition string) (*Subscription, error) {
	if definition != "" {
		if err := saga.CheckName("definition", definition); err != nil {
			return nil, err
		}
	}
	var follow []func(context.Context, streams.CommitHandler) error
	for _, stream := range c.ns.Streams() {
		follow = append(follow, func(ctx context.Context, h streams.CommitHandler) error {
			return c.ns.SubscribeStream(ctx, stream, definition, h)
		})
	}
	return c.subscribe(ctx, follow...)
}

// Subscribe gives the events of a saga; see [Client.Subscribe].
func (s Sagas[S]) Subscribe(ctx context.Context, id string, from uint64) (*Subscription, error) {
	return s.client.Subscribe(ctx, s.Key(id), from)
}

// subscribe runs what brings commits, until one of them fails, and returns when all have begun.
func (c *Client) subscribe(ctx context.Context, follow ...func(context.Context, streams.CommitHandler) error) (*Subscription, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Subscription{events: make(chan projections.Event, eventsKept), cancel: cancel, ended: make(chan struct{})}
	var running, beginning sync.WaitGroup
	for _, f := range follow {
		beginning.Add(1)
		p := &passing{ctx: ctx, s: s, log: c.conf.Logger, begun: sync.OnceFunc(beginning.Done)}
		running.Go(func() {
			s.fail(f(ctx, p))
			cancel()
			p.begun()
		})
	}
	go func() { // Stop waits for it
		running.Wait()
		close(s.events)
		close(s.ended)
	}()
	beginning.Wait()
	if err := s.Err(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// passing hands over events to a subscription.
type passing struct {
	ctx   context.Context //nolint:containedctx // the subscription's, which what calls it does not know
	s     *Subscription
	log   *slog.Logger
	begun func()
}

// Subscribed tells that nothing is missed from now on.
func (p *passing) Subscribed() { p.begun() }

// Commit hands over a commit's events, and reports whether to go on.
func (p *passing) Commit(c streams.CommitRecord) bool {
	if c.Err != nil {
		p.log.Warn("a subscription passes over a commit that cannot be read", "saga", c.Key.String(), "error", c.Err)
		return true
	}
	for _, e := range c.Commit.Events {
		select {
		case p.s.events <- projections.Event{Key: c.Key, Version: c.Commit.Version, Time: c.Commit.Time, Event: e}:
		case <-p.ctx.Done():
			return false
		}
	}
	return true
}

// fail notes why the subscription ends, if that is not because it was stopped.
func (s *Subscription) fail(err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

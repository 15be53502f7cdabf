package engine

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// link follows a connection through its losses: it knows when it last came back, and gives calls a context that ends
// when the connection they were made on is gone, so that a call whose answer was lost is repeated at once.
type link struct {
	nc     *nats.Conn
	parent context.Context //nolint:containedctx // the worker's, of which the link's contexts are children

	mu         sync.Mutex
	reconnects uint64          // as counted by the connection, at the last look
	back       time.Time       // when the connection last came back; zero for never
	ctx        context.Context //nolint:containedctx // of every call over the present connection
	cancel     context.CancelFunc
}

func newLink(parent context.Context, nc *nats.Conn) *link {
	l := &link{nc: nc, parent: parent, reconnects: nc.Stats().Reconnects}
	l.ctx, l.cancel = context.WithCancel(parent)
	return l
}

// context gives the context for a call over the present connection.
func (l *link) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// backWithin reports whether the connection came back less than d ago. It asks the connection itself: what comes over
// a new connection may be handled before the news of it.
func (l *link) backWithin(d time.Duration, now time.Time) bool {
	reconnects := l.nc.Stats().Reconnects
	l.mu.Lock()
	defer l.mu.Unlock()
	if reconnects != l.reconnects {
		l.reconnects, l.back = reconnects, now
	}
	return !l.back.IsZero() && now.Sub(l.back) < d
}

// renew ends the calls that wait for answers over an earlier connection.
func (l *link) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	l.ctx, l.cancel = context.WithCancel(l.parent)
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

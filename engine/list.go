package engine

import (
	"context"
	"errors"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// ErrNoRedis tells that what was asked for is answered from read models in Redis, and that the configuration names none.
var ErrNoRedis = errors.New("engine: this needs read models: set Config.Redis")

// List gives a page of the sagas that a query wants, from the read models: what it tells may be a moment old. Beside
// [ErrNoRedis] its errors are [*projections.QueryError], [*projections.NotReadyError] and those of Redis.
func (c *Client) List(ctx context.Context, q projections.Query) (projections.Page, error) {
	r, err := c.Models()
	if err != nil {
		return projections.Page{}, err
	}
	return r.List(ctx, q)
}

// Count gives how many sagas a query wants, from the read models; see [Client.List] for errors.
func (c *Client) Count(ctx context.Context, q projections.Query) (int64, error) {
	r, err := c.Models()
	if err != nil {
		return 0, err
	}
	return r.Count(ctx, q)
}

// Models gives the read models of the client's namespace.
func (c *Client) Models() (*projections.Reader, error) {
	if c.conf.Redis == nil {
		return nil, ErrNoRedis
	}
	return projections.NewReader(c.conf.Redis, c.ns.Name()), nil
}

// List gives a page of the definition's sagas; see [Client.List].
func (s Sagas[S]) List(ctx context.Context, q projections.Query) (projections.Page, error) {
	q.Definition = s.plan.Name
	return s.client.List(ctx, q)
}

// Count gives how many of the definition's sagas a query wants; see [Client.Count].
func (s Sagas[S]) Count(ctx context.Context, q projections.Query) (int64, error) {
	q.Definition = s.plan.Name
	return s.client.Count(ctx, q)
}

// CountByStatus gives how many sagas the definition has, by status.
func (s Sagas[S]) CountByStatus(ctx context.Context) (map[saga.Status]int64, error) {
	r, err := s.client.Models()
	if err != nil {
		return nil, err
	}
	counts, err := r.Counts(ctx)
	return counts[s.plan.Name], err
}

package main

import (
	"context"
	"errors"

	"golang.org/x/time/rate"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// readHistories reads every saga's whole log, so many in a second. A worker reads from the last snapshot on; a hole
// before it harms nobody until someone asks what happened, which is why it is looked for here.
func (d *diagnosis) readHistories(ctx context.Context, ns *streams.Namespace, perSecond float64) error {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	limiter := rate.NewLimiter(limit, 1)
	log, checked := ns.Log(), 0
	d.Checked = &checked
	var failure error
	err := ns.Sagas(ctx, func(key saga.Key) bool {
		if failure = limiter.Wait(ctx); failure != nil {
			return false
		}
		checked++
		commits, err := log.History(ctx, key)
		if err == nil {
			err = whole(key, commits)
		}
		var corrupt *saga.CorruptError
		var unknown *saga.UnknownError
		if errors.As(err, &corrupt) || errors.As(err, &unknown) {
			d.problem("%v", err)
			return true
		}
		failure = err
		return failure == nil
	})
	return errors.Join(failure, err)
}

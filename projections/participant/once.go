package participant

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/projections/idempotency"
)

// refusal is why a request is not answered, and after what time it may be repeated.
type refusal struct {
	status     int
	text       string
	retryAfter time.Duration // zero for never
}

// The statuses of refusals, which NATS services give as codes.
const (
	statusBad         = 400
	statusHeld        = 409
	statusLarge       = 413
	statusOther       = 422
	statusUnavailable = 503
)

// passing reports whether an answer with a status, or the code of a NATS service, may be another when the request is repeated:
// the server has failed, or asks for the request later.
func passing(code string) bool {
	return strings.HasPrefix(code, "5") || slices.Contains([]string{"408", "409", "425", "429"}, code)
}

// seconds is the value of the header Retry-After.
func (r *refusal) seconds() string {
	return strconv.Itoa(max(1, int(math.Ceil(r.retryAfter.Seconds()))))
}

// once has the work of a request done, unless it was done before; replayed tells that it was. work gives the answer, and
// whether it is to be kept: one that is not may be another when the request is repeated.
func once(
	ctx context.Context, store *idempotency.Store, key string, request []byte, work func(context.Context) (*answer, bool),
) (a *answer, replayed bool, no *refusal) {
	claim, before, err := store.Begin(ctx, key)
	var held *idempotency.HeldError
	switch {
	case errors.As(err, &held):
		return nil, false, &refusal{statusHeld, "the same request is being worked on", min(held.For, time.Second)}
	case err != nil:
		return nil, false, &refusal{statusUnavailable, "idempotency keys cannot be looked up at the moment", time.Second}
	case before != nil:
		a, err = readAnswer(before.Data)
		switch {
		case err != nil:
			return nil, false, &refusal{statusUnavailable, err.Error(), time.Second}
		case a.Request != digest(request):
			return nil, false, &refusal{statusOther, otherRequest, 0}
		}
		return a, true, nil
	}
	kept := false
	settled := context.WithoutCancel(ctx)
	defer func() {
		if !kept { // it is not to be, or work has panicked
			_ = claim.Release(settled)
		}
	}()
	_ = claim.While(ctx, func(ctx context.Context) error {
		a, kept = work(ctx)
		return nil
	})
	if kept {
		a.Request = digest(request)
		var data []byte
		if data, err = json.Marshal(a); err == nil {
			// The work is done, and whoever asked is told so, whether or not that can be kept.
			err = claim.Complete(settled, data)
		}
		kept = err == nil || !isInvalid(err)
	}
	return a, false, nil
}

// isInvalid tells an answer that the store does not take.
func isInvalid(err error) bool {
	var invalid *idempotency.InvalidError
	return errors.As(err, &invalid)
}

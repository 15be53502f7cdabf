package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// RequestOption says who sends a saga a request, and why, for its history.
type RequestOption func(*request)

type request struct {
	id, by, reason string
}

// Because records why.
func Because(reason string) RequestOption { return func(r *request) { r.reason = reason } }

// By records who.
func By(who string) RequestOption { return func(r *request) { r.by = who } }

// MessageID names the request: one that is sent again under its name is carried out once. Default: a new id for each call.
func MessageID(id string) RequestOption { return func(r *request) { r.id = id } }

func newRequest(opts []RequestOption) request {
	var r request
	for _, opt := range opts {
		opt(&r)
	}
	if r.id == "" {
		r.id = NewID()
	}
	return r
}

// RefusedError tells that a saga is not in a state in which it can do what was asked of it. Nothing was sent.
type RefusedError struct {
	Key    saga.Key
	Asked  string // "pause", "retry", ...
	Reason string // and what to do instead
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("saga %s: cannot %s: %s", e.Key, e.Asked, e.Reason)
}

// Signal sends a saga a signal, which is kept until a wait takes it. The payload is JSON. Programs that know the
// signal's type use [Send]. A saga that is stuck takes signals for when it goes on; any other that has ended gives an
// [*EndedError], and one that does not exist [ErrNotFound].
func (c *Client) Signal(ctx context.Context, key saga.Key, name string, payload json.RawMessage, opts ...RequestOption) error {
	if err := saga.CheckName("signal", name); err != nil {
		return err
	}
	if !json.Valid(payload) {
		return fmt.Errorf("saga %s: signal %q: the payload is not JSON", key, name)
	}
	in, err := c.receiving(ctx, key)
	if err != nil {
		return err
	}
	r := newRequest(opts)
	return c.send(ctx, key, saga.Signal{ID: r.id, Run: in.Run, Name: name, Payload: payload, By: r.by, Time: time.Now().UTC()})
}

// Send sends a saga a signal of a declared type; see [Client.Signal].
func Send[S, P any](ctx context.Context, s Sagas[S], id string, signal saga.SignalType[P], payload P, opts ...RequestOption) error {
	data, err := signal.Encode(payload)
	if err != nil {
		return fmt.Errorf("saga %s: %w", s.Key(id), err)
	}
	return s.client.Signal(ctx, s.Key(id), signal.Name(), data, opts...)
}

// Approve decides an approval with its token, once: see [saga.Approval]. A token of another run, and one that was spent, give a
// [*RefusedError].
func (c *Client) Approve(ctx context.Context, token string, d saga.Decision) error {
	t, err := saga.ParseToken(token)
	if err != nil {
		return err
	}
	in, err := c.receiving(ctx, t.Key)
	if err != nil {
		return err
	}
	refuse := func(reason string) error { return &RefusedError{Key: t.Key, Asked: "decide " + t.Step, Reason: reason} }
	switch {
	case !t.Fits(in.Run):
		return refuse("the token is not one of this run of the saga")
	case slices.Contains(in.Seen, t.Secret):
		return refuse("it was decided before")
	}
	signal, err := t.Decide(d, in.Run, time.Now().UTC())
	if err != nil {
		return err
	}
	return c.send(ctx, t.Key, signal)
}

// receiving gives a saga that takes signals: one that has not ended, or is stuck and may go on.
func (c *Client) receiving(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	in, err := c.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if in.Ended() && in.Status != saga.StatusStuck {
		return nil, endedError(in)
	}
	return in, nil
}

func (c *Client) send(ctx context.Context, key saga.Key, command saga.Command) error {
	return c.retry(ctx, func(ctx context.Context) error { return c.ns.Send(ctx, key, command) })
}

// Cancel asks for a saga to be undone: what it has completed is compensated, unless it has passed its pivot, in which
// case it goes on and the request is only recorded. Cancel returns when the request is stored; use Wait for the end.
// A saga that has ended gives an [*EndedError], one that does not exist [ErrNotFound].
func (c *Client) Cancel(ctx context.Context, key saga.Key, opts ...RequestOption) error {
	in, err := c.Get(ctx, key)
	switch {
	case err != nil:
		return err
	case in.Ended():
		return endedError(in)
	}
	r := newRequest(opts)
	return c.send(ctx, key, saga.Cancel{ID: r.id, Run: in.Run, Reason: r.reason, By: r.by, Time: time.Now().UTC()})
}

// order sends an operator's command, unless the saga is in no state for it: check says why, or nothing.
func (c *Client) order(
	ctx context.Context, key saga.Key, asked string, opts []RequestOption,
	check func(*saga.Instance) string, command func(saga.Order) saga.Command,
) error {
	in, err := c.Get(ctx, key)
	if err != nil {
		return err
	}
	if reason := check(in); reason != "" {
		return &RefusedError{Key: key, Asked: asked, Reason: reason}
	}
	r := newRequest(opts)
	return c.send(ctx, key, command(saga.Order{ID: r.id, Run: in.Run, Reason: r.reason, By: r.by, Time: time.Now().UTC()}))
}

// hasEnded says that a saga has ended, if it has.
func hasEnded(in *saga.Instance) string {
	if in.Ended() {
		return fmt.Sprintf("it has ended %s", in.Status)
	}
	return ""
}

// Pause has a saga halt: attempts under way may finish, and nothing else begins until [Client.Resume]. Time goes on:
// what has become due meanwhile is due then.
func (c *Client) Pause(ctx context.Context, key saga.Key, opts ...RequestOption) error {
	return c.order(ctx, key, "pause", opts, func(in *saga.Instance) string {
		if in.Paused {
			return "it is paused already"
		}
		return hasEnded(in)
	}, func(o saga.Order) saga.Command { return saga.Pause{Order: o} })
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, key saga.Key, opts ...RequestOption) error {
	return c.order(ctx, key, "resume", opts, func(in *saga.Instance) string {
		if !in.Paused {
			return "it is not paused"
		}
		return hasEnded(in)
	}, func(o saga.Order) saga.Command { return saga.Resume{Order: o} })
}

// Terminate ends a saga at once and leaves what it has done as it is. To have it undone, use [Client.Cancel].
func (c *Client) Terminate(ctx context.Context, key saga.Key, opts ...RequestOption) error {
	return c.order(ctx, key, "terminate", opts, func(in *saga.Instance) string {
		if in.Status == saga.StatusStuck {
			return ""
		}
		return hasEnded(in)
	}, func(o saga.Order) saga.Command { return saga.Terminate{Order: o} })
}

// Retry gives steps another round of attempts: those named by their keys, or all at which a stuck saga is stuck. A step that rests
// before its next attempt is tried at once.
func (c *Client) Retry(ctx context.Context, key saga.Key, steps []string, opts ...RequestOption) error {
	return c.order(ctx, key, "retry", opts, func(in *saga.Instance) string {
		switch {
		case in.Ended() && in.Status != saga.StatusStuck:
			return hasEnded(in) + "; start it again"
		case len(steps) == 0 && in.Status != saga.StatusStuck:
			return "it is not stuck; name the steps to try again"
		}
		for _, step := range steps {
			if s := in.Steps.Get(step); s.Failure == "" && s.Error == "" && !in.BlockFailed(step) {
				return fmt.Sprintf("step %q has not failed", step)
			}
		}
		meant := steps
		if len(meant) == 0 {
			meant = in.Stuck
		}
		if i := slices.IndexFunc(meant, in.BlockFailed); i >= 0 {
			return fmt.Sprintf("%q is a block, which cannot be tried again: mend its handlers, and reset the saga to before it", meant[i])
		}
		return ""
	}, func(o saga.Order) saga.Command { return saga.Retry{Order: o, Steps: steps} })
}

// Skip has a saga go on as if a step had completed; the step is not undone later.
func (c *Client) Skip(ctx context.Context, key saga.Key, step string, opts ...RequestOption) error {
	return c.order(ctx, key, "skip", opts, func(in *saga.Instance) string {
		s := in.Steps.Get(step)
		switch {
		case in.Ended() && !in.StuckAt(step):
			return hasEnded(in) + fmt.Sprintf(", and not because of step %q", step)
		case s.Status == saga.StepDone || s.Status == saga.StepUndone:
			return fmt.Sprintf("step %q is %s already", step, s.Status)
		}
		// Where no worker has published the plan, the saga itself tells, and sets the command aside.
		if plan, err := c.ns.Plan(ctx, key.Definition, in.Definition); err == nil && plan.Step(step) == nil {
			return fmt.Sprintf("version %d of its definition has no step %q", plan.Version, step)
		}
		return ""
	}, func(o saga.Order) saga.Command { return saga.Skip{Order: o, Step: step} })
}

// Resolve tells a stuck saga that a step whose compensation failed for good was undone by other means.
func (c *Client) Resolve(ctx context.Context, key saga.Key, step string, opts ...RequestOption) error {
	return c.order(ctx, key, "resolve", opts, func(in *saga.Instance) string {
		switch {
		case in.Ended() && !in.StuckAt(step):
			return hasEnded(in) + fmt.Sprintf(", and not because of step %q", step)
		case in.Steps.Get(step).Status != saga.StepUndoGaveUp:
			return fmt.Sprintf("the compensation of step %q has not failed for good", step)
		}
		return ""
	}, func(o saga.Order) saga.Command { return saga.Resolve{Order: o, Step: step} })
}

// Reset takes a saga back to where it was at a version of its log, and lets it go on from there. What was done since stays done,
// and is not undone; nothing is taken out of the log. Attempts under way are cut off.
func (c *Client) Reset(ctx context.Context, key saga.Key, version uint64, opts ...RequestOption) error {
	history, err := c.History(ctx, key)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(history, func(c saga.Commit) bool { return c.Version == version })
	var was *saga.Instance
	if at >= 0 {
		if was, err = saga.Fold(key, history[:at+1]); err != nil {
			return err
		}
	}
	return c.order(ctx, key, "reset", opts, func(in *saga.Instance) string {
		switch {
		case was == nil:
			return fmt.Sprintf("its log has no version %d", version)
		case was.Run != in.Run:
			return fmt.Sprintf("version %d is of the run %s, which is over", version, was.Run)
		case was.Ended():
			return fmt.Sprintf("at version %d it had ended %s", version, was.Status)
		}
		return ""
	}, func(o saga.Order) saga.Command { return saga.Reset{Order: o, To: version, Saga: was} })
}

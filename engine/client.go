package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// ErrNotFound tells that there is no such saga.
var ErrNotFound = errors.New("no such saga")

// AlreadyStartedError tells that a saga with this id was started before. Nothing was changed.
type AlreadyStartedError struct {
	Key saga.Key
	Run string // the latest run
	// PurgedAt is when the saga was purged, zero for one that was not. Its id is free again when it is remembered no more;
	// until then it cannot be run again either.
	PurgedAt time.Time
}

func (e *AlreadyStartedError) Error() string {
	if !e.PurgedAt.IsZero() {
		return fmt.Sprintf("saga %s was started before, as run %s, and was purged at %s; choose another id",
			e.Key, e.Run, e.PurgedAt.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("saga %s was started before, as run %s", e.Key, e.Run)
}

// EndedError tells that a saga has ended, so that it cannot be cancelled; or, from Run, that it ended otherwise than
// completed.
type EndedError struct {
	Key    saga.Key
	Status saga.Status
	Reason saga.Reason // why it was undone, for a compensated one
	Detail string      // the error that was the reason
}

func (e *EndedError) Error() string {
	msg := fmt.Sprintf("saga %s ended as %s", e.Key, e.Status)
	if e.Reason != "" {
		msg += " (" + string(e.Reason) + ")"
	}
	if e.Detail != "" {
		msg += ": " + e.Detail
	}
	return msg
}

// PurgedError tells that a saga has been, and was purged by [Retention]. It is an [ErrNotFound].
type PurgedError struct {
	Key      saga.Key
	Run      string
	Status   saga.Status // how it ended
	EndedAt  time.Time
	PurgedAt time.Time
}

func (e *PurgedError) Error() string {
	return fmt.Sprintf("saga %s was purged at %s; it had ended %s at %s",
		e.Key, e.PurgedAt.UTC().Format(time.RFC3339), e.Status, e.EndedAt.UTC().Format(time.RFC3339))
}

// Is reports that there is no such saga any more.
func (e *PurgedError) Is(target error) bool { return target == ErrNotFound }

// Client starts, reads and cancels sagas of any definition, with the state as JSON. Programs that know the
// definition use [For]. It is safe for concurrent use and holds nothing that needs closing.
type Client struct {
	conf Config
	ns   *streams.Namespace
	log  *streams.Log
}

// NewClient gives a client. It creates the namespace's streams if there are none; see [streams.Ensure] for errors.
func NewClient(ctx context.Context, conf Config) (*Client, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	ns, err := streams.Ensure(ctx, conf.streams())
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return newClient(conf, ns), nil
}

// OpenClient gives a client for a namespace that exists, and creates nothing. Its error is [streams.ErrNotFound]
// where there is none.
func OpenClient(ctx context.Context, conf Config) (*Client, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	ns, err := streams.Open(ctx, conf.streams())
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return newClient(conf, ns), nil
}

func newClient(conf Config, ns *streams.Namespace) *Client {
	return &Client{conf: conf, ns: ns, log: ns.Log()}
}

// Namespace gives the namespace that the client speaks to.
func (c *Client) Namespace() *streams.Namespace { return c.ns }

// NewID gives an id for a saga that has none by nature: a UUIDv7.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Started tells of a run that was begun, or was found.
type Started struct {
	Key      saga.Key
	Run      string
	Existing bool // the saga was there before, and the option was to take it as it is
}

// StartOption changes what Start does.
type StartOption func(*startOptions)

type startOptions struct {
	known      whenKnown
	deadline   time.Time
	attributes map[string]string
}

type whenKnown int

const (
	reject whenKnown = iota
	takeExisting
	runAgain
)

// OrExisting has Start take a saga with this id as it is, whatever state it was started with, instead of refusing.
func OrExisting() StartOption { return func(o *startOptions) { o.known = takeExisting } }

// OrAgain has Start begin a new run of a saga that has ended. One that has not is refused all the same.
func OrAgain() StartOption { return func(o *startOptions) { o.known = runAgain } }

// Deadline has a saga undone that has not ended by then, with the reason [saga.ReasonTimedOut]. Past its pivot a saga has no deadline.
func Deadline(at time.Time) StartOption { return func(o *startOptions) { o.deadline = at } }

// Start begins a saga under version of the key's definition; version 0 leaves it to the worker, which takes the
// highest that it knows. An id that was started before is refused with an [*AlreadyStartedError], unless an option
// says otherwise. When Start returns nil the saga is stored and will run; after any other error it may be: repeat
// the call with the same id.
func (c *Client) Start(ctx context.Context, key saga.Key, version int, state saga.State, opts ...StartOption) (Started, error) {
	var o startOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := key.Validate(); err != nil {
		return Started{}, err
	}
	if version < 0 {
		return Started{}, fmt.Errorf("saga %s: version %d is negative", key, version)
	}
	if size := state.Size(); size > c.conf.MaxState {
		return Started{}, fmt.Errorf("saga %s: state of %d bytes, at most %d are kept: %w", key, size, c.conf.MaxState, ErrStateTooLarge)
	}
	now := time.Now().UTC()
	if !o.deadline.IsZero() && !o.deadline.After(now) {
		return Started{}, fmt.Errorf("saga %s: the deadline %s has passed", key, o.deadline.Format(time.RFC3339))
	}
	start := saga.Start{Run: NewID(), Definition: version, State: state, Time: now, Deadline: o.deadline, Attributes: o.attributes}
	err := c.retry(ctx, func(ctx context.Context) error { return c.ns.Start(ctx, key, start, 0) })
	if errors.Is(err, streams.ErrExists) {
		return c.startKnown(ctx, key, start, o)
	}
	if err != nil {
		return Started{}, err
	}
	return Started{Key: key, Run: start.Run}, nil
}

// startKnown handles an id that has commands already, perhaps this very Start, whose answer was lost.
func (c *Client) startKnown(ctx context.Context, key saga.Key, start saga.Start, o startOptions) (Started, error) {
	for {
		starts, last, err := c.starts(ctx, key)
		if err != nil {
			return Started{}, err
		}
		// After the commands were read: a purge that begins from here on has the server refuse a Start.
		grave, purged, err := c.tombstone(ctx, key)
		switch {
		case err != nil:
			return Started{}, err
		case purged && o.known == takeExisting:
			return Started{Key: key, Run: grave.Run, Existing: true}, nil
		case purged:
			return Started{}, &AlreadyStartedError{Key: key, Run: grave.Run, PurgedAt: grave.PurgedAt}
		}
		latest, err := c.latestStart(ctx, key, starts)
		if err != nil {
			return Started{}, err
		}
		known := &AlreadyStartedError{Key: key, Run: latest.Run}
		switch {
		case latest.Run == start.Run:
			return Started{Key: key, Run: start.Run}, nil
		case o.known == takeExisting:
			return Started{Key: key, Run: latest.Run, Existing: true}, nil
		case o.known == reject:
			return Started{}, known
		}
		in, err := c.instance(ctx, key)
		if err != nil {
			return Started{}, err
		}
		if in.Run != latest.Run || !in.Ended() {
			return Started{}, known
		}
		start.Previous = latest.Run
		err = c.retry(ctx, func(ctx context.Context) error { return c.ns.Start(ctx, key, start, last) })
		if err == nil {
			return Started{Key: key, Run: start.Run}, nil
		}
		if !errors.Is(err, streams.ErrExists) {
			return Started{}, err
		}
	}
}

// latestStart gives the last of a saga's Starts. That of a saga that never ends may be forgotten; its log tells the run.
func (c *Client) latestStart(ctx context.Context, key saga.Key, starts []saga.Start) (saga.Start, error) {
	if len(starts) > 0 {
		return starts[len(starts)-1], nil
	}
	in, err := c.instance(ctx, key)
	switch {
	case err != nil:
		return saga.Start{}, err
	case in.Version == 0:
		return saga.Start{}, fmt.Errorf("saga %s: it has commands, but no Start; choose another id", key)
	}
	return saga.Start{Run: in.Run}, nil
}

// attemptTimeout is how long a call waits for its answer before it is made again: an answer that has not come by then
// was lost with a connection or a server.
const attemptTimeout = 2 * time.Second

// retry repeats a call while the server does not answer, until ctx ends.
func (c *Client) retry(ctx context.Context, f func(ctx context.Context) error) error {
	return c.retryLong(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		return f(ctx)
	})
}

// retryLong is retry for what takes many answers, and bounds the wait for each itself.
func (c *Client) retryLong(ctx context.Context, f func(ctx context.Context) error) error {
	err := f(ctx)
	if err == nil || !unanswered(err) {
		return err
	}
	ended := untilDone(ctx, func() error {
		if err = f(ctx); err != nil && (!unanswered(err) || ctx.Err() != nil) {
			return backoff.Permanent(err)
		}
		return err
	}, nil)
	if ended != nil && ended == ctx.Err() { //nolint:errorlint // the bare one, which tells neither the saga nor what it waited for
		return fmt.Errorf("%w: %w", err, ended)
	}
	return ended
}

// unanswered tells a server that has not answered, and may yet, from one that has said no.
func unanswered(err error) bool {
	var lost net.Error // a connection that broke while it was written to, and every timeout
	return errors.As(err, &lost) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// Get gives a saga as its log has it now. A saga that was started and that no worker has taken up has the status
// [saga.StatusPending]. The error is [ErrNotFound] where there is none.
func (c *Client) Get(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	in, err := c.instance(ctx, key)
	if err != nil {
		return nil, err
	}
	if in.Version > 0 && !in.Ended() {
		return in, nil
	}
	// Nothing, or an end: a Start may be waiting that has not reached the log.
	starts, _, err := c.starts(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(starts) == 0 {
		if in.Version > 0 {
			return in, nil
		}
		return nil, fmt.Errorf("saga %s: %w", key, ErrNotFound)
	}
	if latest := starts[len(starts)-1]; latest.Previous == in.Run && latest.Run != in.Run {
		return pending(key, latest), nil
	}
	return in, nil
}

// pending gives the saga that a Start command is going to be.
func pending(key saga.Key, start saga.Start) *saga.Instance {
	in := saga.NewInstance(key)
	in.Run, in.Definition, in.State = start.Run, start.Definition, start.State
	in.Status, in.StartedAt, in.UpdatedAt = saga.StatusPending, start.Time, start.Time
	return in
}

// instance gives the saga that the log's leader tells of.
func (c *Client) instance(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	var log saga.Log
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		log, err = c.log.Load(ctx, key, saga.Latest)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.fold(ctx, key, log)
}

// fold gives the saga that a log tells of. One that was purged gives a [*PurgedError].
func (c *Client) fold(ctx context.Context, key saga.Key, log saga.Log) (*saga.Instance, error) {
	in, err := saga.Fold(key, log.Commits)
	if err != nil || !streams.IsPurged(in) {
		return in, err
	}
	grave, _, err := c.tombstone(ctx, key)
	if err != nil {
		return nil, err
	}
	return nil, &PurgedError{Key: key, Run: grave.Run, Status: grave.Status, EndedAt: grave.EndedAt, PurgedAt: grave.PurgedAt}
}

// tombstone is [streams.Namespace.Tombstone], repeated while the server does not answer.
func (c *Client) tombstone(ctx context.Context, key saga.Key) (t streams.Tombstone, ok bool, err error) {
	err = c.retry(ctx, func(ctx context.Context) (err error) {
		t, ok, err = c.ns.Tombstone(ctx, key)
		return err
	})
	return t, ok, err
}

// starts is [streams.Namespace.Starts], repeated while the server does not answer.
func (c *Client) starts(ctx context.Context, key saga.Key) (starts []saga.Start, last uint64, err error) {
	err = c.retry(ctx, func(ctx context.Context) (err error) {
		starts, last, err = c.ns.Starts(ctx, key)
		return err
	})
	return starts, last, err
}

// History gives a saga's commits, oldest first. The error is [ErrNotFound] where there are none and none to come.
func (c *Client) History(ctx context.Context, key saga.Key) ([]saga.Commit, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	var commits []saga.Commit
	err := c.retryLong(ctx, func(ctx context.Context) (err error) {
		commits, err = c.log.History(ctx, key)
		return err
	})
	if err != nil || len(commits) > 0 {
		return commits, err
	}
	_, err = c.Get(ctx, key)
	return nil, err
}

func endedError(in *saga.Instance) *EndedError {
	return &EndedError{Key: in.Key, Status: in.Status, Reason: in.Reason, Detail: in.Error}
}

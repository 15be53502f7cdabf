package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// schedule is a message that the server sends to the saga's commands when its time has come. Sent again, it
// takes its own place: the server keeps one message of a schedule's subject.
type schedule struct {
	n      *Namespace
	msg    *nats.Msg
	future jetstream.PubAckFuture // nil while it is not sent
}

// latestSchedule is within what a server can tell apart, which counts the nanoseconds since 1970 in 64 bits: a later time is
// taken for a past one. A saga that is woken before its time parks again.
var latestSchedule = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

func (n *Namespace) newSchedule(key saga.Key, name string, t saga.PendingTimer) *schedule {
	m := nats.NewMsg(n.subjects.timer(key, name))
	at := t.At.UTC()
	if at.After(latestSchedule) {
		at = latestSchedule
	}
	m.Header[jetstream.ScheduleHeader] = []string{"@at " + at.Format(time.RFC3339Nano)}
	m.Header[jetstream.ScheduleTargetHeader] = []string{n.subjects.commands(key)}
	m.Data = encodeTimer(saga.Timer{Name: name, Version: t.Version})
	return &schedule{n: n, msg: m}
}

// encodeTimer cannot fail: a Timer is plain data of a registered type.
func encodeTimer(t saga.Timer) []byte {
	data, err := saga.EncodeCommand(t)
	if err != nil {
		panic(fmt.Sprintf("streams: encoding %#v: %v", t, err))
	}
	return data
}

// send hands the message to the connection and does not wait.
func (s *schedule) send() error {
	future, err := s.n.js.PublishMsgAsync(s.msg)
	if err != nil {
		return fmt.Errorf("sending schedule %s: %w", s.msg.Subject, err)
	}
	s.future = future
	return nil
}

// wait returns when the schedule is stored. A commit that counts on it is in the log already, so it is sent
// again until it is.
func (s *schedule) wait(ctx context.Context) error {
	again := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0)), ctx)
	return backoff.Retry(func() error {
		err := s.stored(ctx)
		var api *jetstream.APIError
		if errors.As(err, &api) && api.Code == 400 {
			return backoff.Permanent(err) // refused, and would be again
		}
		if err != nil {
			s.future = nil
		}
		return err
	}, again)
}

// stored sends the schedule, unless it is sent, and returns when it is stored. An answer that does not come in time was lost with
// a server, of which the connection need not know.
func (s *schedule) stored(ctx context.Context) error {
	if s.future == nil {
		if err := s.send(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	select {
	case <-s.future.Ok():
		return nil
	case err := <-s.future.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetTimers sets timers that a commit in the log has set before, in case that their schedules were lost. One
// that has fired fires again, which has no effect.
func (n *Namespace) SetTimers(ctx context.Context, key saga.Key, timers map[string]saga.PendingTimer) error {
	for name, t := range timers {
		if err := n.newSchedule(key, name, t).wait(ctx); err != nil {
			return fmt.Errorf("saga %s: timer %s: %w", key, name, err)
		}
	}
	return nil
}

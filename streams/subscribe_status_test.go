package streams

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
)

func TestTheEndsOfASubscriptionsRequest(t *testing.T) {
	for name, c := range map[string]struct {
		number, status, text string
		fresh                bool
		want                 subscriptionPulls // its left and large
		fails                bool
	}{
		"a heartbeat":                {number: "2", status: statusHeartbeat, want: subscriptionPulls{left: 7}},
		"of an earlier request":      {number: "1", status: statusExpired, want: subscriptionPulls{left: 7}},
		"expired":                    {number: "2", status: statusExpired},
		"the batch is complete":      {number: "2", status: "409", text: textBatchDone},
		"no more bytes":              {number: "2", status: "409", text: textBytesDone},
		"no bytes for the first":     {number: "2", status: "409", text: textBytesDone, fresh: true, want: subscriptionPulls{large: true}},
		"the consumer is gone":       {number: "2", status: "409", text: "Consumer Deleted", want: subscriptionPulls{left: 7}, fails: true},
		"nobody knows of a consumer": {number: "2", status: statusNoResponders, want: subscriptionPulls{left: 7}, fails: true},
	} {
		p := subscriptionPulls{s: &subscription{}, inbox: "inbox.", asked: 2, left: 7, fresh: c.fresh, next: 1}
		m := &nats.Msg{Subject: "inbox." + c.number, Header: nats.Header{statusHeader: {c.status}, "Description": {c.text}}}
		if err := p.take(m); (err != nil) != c.fails || p.left != c.want.left || p.large != c.want.large {
			t.Errorf("%s: %v, and it is %+v", name, err, p)
		}
	}
}

// every takes all commits.
type every struct{ versions []uint64 }

func (*every) Subscribed() {}

func (h *every) Commit(c CommitRecord) bool {
	h.versions = append(h.versions, c.Commit.Version)
	return true
}

func TestASubscriptionTakesNothingOutOfOrder(t *testing.T) {
	handler := &every{}
	s := &subscription{n: &Namespace{subjects: newSubjects("default")}, after: 10, handler: handler}
	p := subscriptionPulls{s: s, inbox: "inbox.", left: 7, next: 1}
	data, err := saga.EncodeCommit(&saga.Commit{Version: 1, Events: []saga.Event{saga.SagaResumed{}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sequence, delivery string
		want               error
	}{
		{"12", "1", nil},
		{"14", "3", errDisorder}, // the second was lost
		{"12", "2", errDisorder}, // it was handed over
		{"13", "2", nil},
	} {
		m := &nats.Msg{
			Subject: "saga.default.001.trip.t-1.evt", Data: data,
			Reply: "$JS.ACK.S.C.1." + c.sequence + "." + c.delivery + ".1.0",
		}
		if err := p.take(m); !errors.Is(err, c.want) {
			t.Errorf("sequence %s as delivery %s: %v, want %v", c.sequence, c.delivery, err, c.want)
		}
	}
	if len(handler.versions) != 2 || s.after != 13 || p.left != 5 {
		t.Errorf("it has taken %v, up to %d, and %d are left", handler.versions, s.after, p.left)
	}
}

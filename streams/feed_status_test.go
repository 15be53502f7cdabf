package streams

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestARenewalThatNobodyAnswersEndsASession(t *testing.T) {
	s := &session{f: &feed{pin: "p"}, inbox: "inbox.", asked: 3, left: 10}
	if is := s.status(&nats.Msg{Subject: "inbox." + renewed, Header: nats.Header{statusHeader: {statusNoBody}}}); !is || s.lost != nil {
		t.Errorf("a renewal that found nothing: %t, %v", is, s.lost)
	}
	if is := s.status(&nats.Msg{Subject: "inbox." + renewed, Header: nats.Header{statusHeader: {statusNoResponders}}}); !is || !errors.Is(s.lost, errNoConsumer) {
		t.Errorf("a renewal that no consumer was there for: %t, %v", is, s.lost)
	}
}

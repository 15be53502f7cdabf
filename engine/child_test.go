package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestAParentIsToldOfTheEndOfAChildWhoseStateCannotBeSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, 0, server.Options{StoreDir: dir})
	f := &fleet{t, testutil.Connect(t, s, engine.ConnectOptions()...)}
	var lower sync.Once
	leg := saga.Must(saga.Define("leg", 1,
		saga.Step("pack", func(_ context.Context, s *trip) error {
			s.Note = strings.Repeat("x", 200<<10)
			return nil
		}).Compensate(does("-pack")),
		saga.Step("go", func(_ context.Context, _ *trip) error {
			lower.Do(func() {
				serve(t, shut(s), server.Options{StoreDir: dir, MaxPayload: 64 << 10})
			})
			return nil
		}),
	))
	whole := saga.Must(saga.Define("whole", 1,
		saga.Step("book", does("book")).Compensate(does("-book")),
		saga.Child("leg", leg, func(*trip) trip { return trip{} }).Result(func(s *trip, c trip) { s.Log += c.Log }),
	))
	f.engine(engine.Config{}, leg, whole)
	in, err := engine.For(f.client(), whole).Run(withPatience(t), "w-1", trip{})
	var ended *engine.EndedError
	if !errors.As(err, &ended) || !strings.Contains(ended.Detail, `the state of child "leg" is not known: `) {
		t.Fatalf("error is %v", err)
	}
	if in.State.Log != "book -book " {
		t.Errorf("it ended as %+v", in)
	}
}

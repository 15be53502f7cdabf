package saga_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func FuzzRecall(f *testing.F) {
	f.Add([]byte(`{"set":{"a":1},"unset":["b"],"emits":[{"id":"x","topic":"t","payload":1}],"attributes":{"c":"d"}}`), []byte(`{"b":2}`))
	f.Add([]byte(`{}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, record, state []byte) {
		given, err := saga.ParseState(state)
		if err != nil {
			return
		}
		var r saga.Result
		if r.Recall(given, record) != nil {
			return
		}
		again, err := r.Record(given)
		if err != nil {
			t.Fatal(err)
		}
		var twice saga.Result
		if err := twice.Recall(given, again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(twice.State.JSON(), r.State.JSON()) || len(twice.Emits) != len(r.Emits) || len(twice.Attributes) != len(r.Attributes) {
			t.Errorf("%s of %s gives %+v, and its record %s gives %+v", record, state, r, again, twice)
		}
	})
}

type remembered map[string][]byte

func (m remembered) Do(ctx context.Context, key string, fn func(context.Context) ([]byte, error)) ([]byte, error) {
	if data, ok := m[key]; ok {
		return data, nil
	}
	data, err := fn(ctx)
	if err == nil {
		m[key] = data
	}
	return data, err
}

func TestOnce(t *testing.T) {
	effects := remembered{}
	at := func(step string, attempt int) context.Context {
		return saga.WithEffects(saga.NewContext(t.Context(), saga.Info{Key: saga.Key{Definition: "d", ID: "1"}, Run: "r", Step: step, Attempt: attempt}), effects)
	}
	ran := 0
	count := func(context.Context) (int, error) { ran++; return ran, nil }
	for _, c := range []struct {
		step    string
		attempt int
		name    string
		want    int
	}{
		{"a", 1, "x", 1}, {"a", 1, "x", 1}, {"a", 2, "x", 1}, {"a", 2, "y", 2}, {"b", 1, "x", 3}, {"a", 3, "x", 1},
	} {
		if got, err := saga.Once(at(c.step, c.attempt), c.name, count); got != c.want || err != nil {
			t.Errorf("attempt %d of step %s, %s: %d, %v; want %d", c.attempt, c.step, c.name, got, err, c.want)
		}
	}
	no := errors.New("no")
	if _, err := saga.Once(at("a", 1), "z", func(context.Context) (int, error) { return 0, no }); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
	if got, err := saga.Once(at("a", 1), "z", count); got != 4 || err != nil {
		t.Errorf("after a failure: %d, %v", got, err)
	}
	var name *saga.InvalidNameError
	if _, err := saga.Once(at("a", 1), "a b", count); !errors.As(err, &name) || !saga.IsPermanent(err) {
		t.Errorf("a name that cannot be: %v", err)
	}
	if _, err := saga.Once(at("a", 1), "f", func(context.Context) (func(), error) { return func() {}, nil }); !saga.IsPermanent(err) {
		t.Errorf("a result that cannot be encoded: %v", err)
	}
	if _, err := saga.Once(at("a", 1), "x", func(context.Context) (string, error) { return "", nil }); !saga.IsPermanent(err) {
		t.Errorf("a result of another type: %v", err)
	}
	for _, ctx := range []context.Context{t.Context(), saga.NewContext(t.Context(), saga.Info{Step: "a"})} {
		if _, err := saga.Once(ctx, "x", count); !errors.Is(err, saga.ErrNoEffects) {
			t.Errorf("where nothing remembers: %v", err)
		}
	}
	type key struct{}
	derived := saga.WithEffects(context.WithValue(saga.NewContext(t.Context(), saga.Info{Key: saga.Key{Definition: "d", ID: "1"}, Run: "r", Step: "a"}), key{}, 1), effects)
	if got, err := saga.Once(derived, "x", count); got != 1 || err != nil {
		t.Errorf("in a context that was derived: %d, %v", got, err)
	}
}

// broken fails: before an effect, or after it.
type broken struct{ after bool }

var errBroken = errors.New("the store is away")

func (b broken) Do(ctx context.Context, _ string, fn func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	if b.after {
		if _, err := fn(ctx); err != nil {
			return nil, err
		}
	}
	return nil, errBroken
}

func TestAnErrorOfWhatRemembersEffectsDoesNotCount(t *testing.T) {
	no := errors.New("no")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name            string
		over            bool // its context has ended
		after           bool
		err             error // of the effect
		want            error
		putOff, unknown bool
	}{
		{"before the effect", false, false, nil, errBroken, true, false},
		{"after the effect", false, true, nil, errBroken, true, true},
		{"while another is at it", true, false, nil, errBroken, true, true},
		{"the effect fails", false, true, no, no, false, false},
	} {
		ctx := t.Context()
		if c.over {
			ctx = over
		}
		ctx = saga.WithEffects(saga.NewContext(ctx, saga.Info{Step: "a"}), broken{c.after})
		_, err := saga.Once(ctx, "x", func(context.Context) (int, error) { return 1, c.err })
		if !errors.Is(err, c.want) || saga.IsPutOff(err) != c.putOff || saga.IsUnknown(err) != c.unknown {
			t.Errorf("%s: %v; put off: %v, unknown: %v", c.name, err, saga.IsPutOff(err), saga.IsUnknown(err))
		}
	}
	if saga.PutOff(nil) != nil {
		t.Error("no error is put off")
	}
}

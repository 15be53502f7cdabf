package engine_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// hold is the state of a ship's hold.
type hold struct {
	Log string `json:"log,omitempty"`
	A   string `json:"a,omitempty"`
	B   string `json:"b,omitempty"`
	C   string `json:"c,omitempty"`
	D   string `json:"d,omitempty"`
}

// logs gives a handler that records its name.
func logs(name string) saga.Handler[hold] {
	return func(_ context.Context, h *hold) error {
		h.Log += name + " "
		return nil
	}
}

// berths gives a parallel block whose four branches take so many bytes on board each, all at once.
func berths(bytes int, undone chan<- string) saga.Node[hold] {
	var all sync.WaitGroup
	all.Add(4)
	branch := func(name string, part func(*hold) *string) saga.BranchNode[hold] {
		return saga.Branch(name, saga.Step("load-"+name, func(_ context.Context, h *hold) error {
			*part(h) = strings.Repeat("x", bytes)
			all.Done()
			all.Wait()
			return nil
		}).Compensate(func(context.Context, *hold) error {
			undone <- name
			return nil
		}))
	}
	return saga.Parallel("load",
		branch("a", func(h *hold) *string { return &h.A }), branch("b", func(h *hold) *string { return &h.B }),
		branch("c", func(h *hold) *string { return &h.C }), branch("d", func(h *hold) *string { return &h.D }),
	)
}

// What comes of one attempt, of one question, or of branches together, and does not go into a commit, fails what it came of. No
// saga is left behind by it, and no effect.
func TestWhatIsTooLargeForACommitFailsItsStepAndIsUndone(t *testing.T) {
	const large = 300 << 10
	undone := make(chan string, 4)
	for _, test := range []struct {
		name   string
		node   saga.Node[hold]
		reason string // part of it
		log    string
		undone int
		is     error
	}{
		{"branches", berths(large, undone), `the branches leave a state of 12`, "a -a ", 4, nil},
		{"emissions", saga.Step("b", func(ctx context.Context, h *hold) error {
			h.Log += "b "
			for range 4 {
				if err := saga.Emit(ctx, "loaded", strings.Repeat("x", large)); err != nil {
					return err
				}
			}
			return nil
		}).Compensate(logs("-b")), `step "b" changed 14 bytes of the state and emitted 4 events of 12`, "a -b -a ", 0, engine.ErrOutcomeTooLarge},
		{"state", saga.Step("b", func(_ context.Context, h *hold) error {
			h.A, h.B = strings.Repeat("x", large), strings.Repeat("x", large)
			return nil
		}).Compensate(logs("-b")), `step "b" left a state of 6`, "a -b -a ", 0, engine.ErrStateTooLarge},
		{"items", saga.ForEach("each", func(*hold) []hold {
			return []hold{{A: strings.Repeat("x", large)}, {B: strings.Repeat("x", large)}, {C: strings.Repeat("x", large)}, {D: strings.Repeat("x", large)}}
		}, saga.Step("i", logs("i"))), `"each" found 4 items of 12`, "a -a ", 0, nil},
		{"a child's beginning", saga.Child("b", saga.Must(saga.Define("leg", 1, saga.Step("go", logs("go")))), func(*hold) hold {
			return hold{A: strings.Repeat("x", large), B: strings.Repeat("x", large)}
		}), `step "b" would start its child with a state of 6`, "a -a ", 0, engine.ErrStateTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			failures := make(chan error, 10)
			def := saga.Must(saga.Define("ship", 1, saga.Step("a", logs("a")).Compensate(logs("-a")), test.node))
			f.engine(engine.Config{Hooks: engine.Hooks{Ran: func(_ saga.Info, _ time.Duration, err error) {
				if err != nil {
					failures <- err
				}
			}}}, def)
			client := f.client()
			s, err := engine.For(client, def).Run(withPatience(t), "s-1", hold{})
			var ended *engine.EndedError
			if !errors.As(err, &ended) || ended.Status != saga.StatusCompensated || !strings.Contains(ended.Detail, test.reason) {
				t.Fatalf("error is %v", err)
			}
			if s.State.Log != test.log {
				t.Errorf("it ended as %q, want %q", s.State.Log, test.log)
			}
			for range test.undone {
				receive(t, undone)
			}
			if test.is != nil {
				if told := receive(t, failures); !errors.Is(told, test.is) {
					t.Errorf("the hook was told %v", told)
				}
			}
			if letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{}); err != nil || len(letters) > 0 {
				t.Errorf("%d commands were set aside: %v", len(letters), err)
			}
		})
	}
}

// Items that are larger together than a message, and come together, go into as many commits as it takes.
func TestResultsThatComeTogetherAreSplitOverCommits(t *testing.T) {
	f := newFleet(t)
	const items, bytes = 8, 250 << 10
	var all sync.WaitGroup
	all.Add(items)
	def := saga.Must(saga.Define("ship", 1,
		saga.ForEach("each", func(*hold) []hold { return make([]hold, items) },
			saga.Step("load", func(_ context.Context, h *hold) error {
				h.A = strings.Repeat("x", bytes)
				all.Done()
				all.Wait()
				return nil
			}).Compensate(func(_ context.Context, h *hold) error {
				h.A = ""
				return nil
			}),
		).Limit(items).Collect(func(h *hold, items []saga.Item[hold]) {
			for _, i := range items {
				h.Log += strconv.Itoa(len(i.Value.A)) + " "
			}
		}),
		saga.Step("sail", func(_ context.Context, h *hold) error { return saga.Permanent(errors.New(h.Log)) }),
	))
	f.engine(engine.Config{}, def)
	client := f.client()
	_, err := engine.For(client, def).Run(withPatience(t), "s-1", hold{})
	var ended *engine.EndedError
	if want := strings.Repeat("256000 ", items); !errors.As(err, &ended) || ended.Status != saga.StatusCompensated || ended.Detail != want {
		t.Errorf("error is %v, want what was collected: %s", err, want)
	}
	if letters, err := client.DeadLetters(t.Context(), engine.LetterQuery{}); err != nil || len(letters) > 0 {
		t.Errorf("%d commands were set aside: %v", len(letters), err)
	}
}

// A state that was not written by this build may lack fields, or have others: no branch has changed those.
func TestBranchesChangeNothingThatTheyHaveNotTouched(t *testing.T) {
	type tour struct {
		Flight string `json:"flight"`
		Hotel  string `json:"hotel"`
		Nights int    `json:"nights"`
	}
	f := newFleet(t)
	def := saga.Must(saga.Define("tour", 1, saga.Parallel("bookings",
		saga.Branch("flight", saga.Step("book-flight", func(_ context.Context, s *tour) error { s.Flight = "F1"; return nil })),
		saga.Branch("hotel", saga.Step("book-hotel", func(_ context.Context, s *tour) error { s.Hotel = "H1"; return nil })),
	)))
	f.engine(engine.Config{}, def)
	c := f.client()
	state, err := saga.ParseState([]byte(`{"new":{"to":"a later build"},"hotel":""}`))
	if err != nil {
		t.Fatal(err)
	}
	k := saga.Key{Definition: "tour", ID: "t-1"}
	if _, err := c.Start(withPatience(t), k, 1, state); err != nil {
		t.Fatal(err)
	}
	in, err := c.Wait(withPatience(t), k)
	if err != nil || in.Status != saga.StatusCompleted {
		t.Fatalf("it ended as %+v, %v", in, err)
	}
	if got, want := string(in.State.JSON()), `{"new":{"to":"a later build"},"hotel":"H1","flight":"F1"}`; got != want {
		t.Errorf("its state is %s, want %s", got, want)
	}
}

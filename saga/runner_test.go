package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// account is a state that is the same after a trip through JSON.
type account struct {
	Name    string  `json:"name"`
	Balance float64 `json:"balance"`
	Note    string  `json:"note,omitempty"`
	Limits  [2]int  `json:"limits"`
	Owner   struct{ ID uint8 }
}

// runnerOf gives a runner of one step and its undo.
func runnerOf[S any](t testing.TB, do, undo func(context.Context, *S) error) saga.Runner {
	t.Helper()
	def, err := saga.Define("d", 1, saga.Step("a", do).Compensate(undo))
	if err != nil {
		t.Fatal(err)
	}
	return def.NewRunner()
}

var (
	doA   = saga.Task{Step: "a", Attempt: 1}
	undoA = saga.Task{Step: "a", Undo: true, Attempt: 1}
)

func TestAHandlerTakesAStateAndLeavesAnother(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "the caller's")
	r := runnerOf(t,
		func(ctx context.Context, a *account) error {
			if ctx.Value(key{}) != "the caller's" {
				t.Error("the handler's context is not the caller's")
			}
			a.Balance += 2.5
			return nil
		},
		func(_ context.Context, a *account) error { a.Note = "undone"; return nil },
	)
	s, err := r.Run(ctx, doA, mustState(t, `{"name":"x","balance":1,"unknown":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(s.JSON()), `{"name":"x","balance":3.5,"unknown":true}`; got != want {
		t.Errorf("the step leaves %s, want %s", got, want)
	}
	if s, err = r.Run(ctx, undoA, s); err != nil {
		t.Fatal(err)
	}
	if got, want := string(s.JSON()), `{"name":"x","balance":3.5,"unknown":true,"note":"undone"}`; got != want {
		t.Errorf("the undo leaves %s, want %s", got, want)
	}
}

func TestOnlyWhatAHandlerChangesIsChanged(t *testing.T) {
	type part struct {
		N int `json:"n"`
	}
	type form struct {
		Amount float64           `json:"amount"`
		Note   string            `json:"note,omitempty"`
		Part   part              `json:"part"`
		Names  map[string]string `json:"names"`
	}
	for _, test := range []struct {
		name, given, want string
		do                func(*form)
	}{
		{"nothing", `{"Amount":1.50,"x":[1, 2],"part":{"n":1,"other":2}}`, `{"Amount":1.50,"x":[1,2],"part":{"n":1,"other":2}}`, func(*form) {}},
		{"a field that was not there", `{}`, `{"note":"new"}`, func(f *form) { f.Note = "new" }},
		{"to what it is without being there", `{"note":"old"}`, `{}`, func(f *form) { f.Note, f.Amount = "", 0 }},
		{"one that is spelled otherwise", `{"Amount":1,"NOTE":"old","z":0}`, `{"z":0,"amount":2}`, func(f *form) { f.Amount, f.Note = 2, "" }},
		{"a part of a field", `{"part":{"n":1,"other":2}}`, `{"part":{"n":3}}`, func(f *form) { f.Part.N = 3 }},
		{"a map", `{"y":1}`, `{"y":1,"names":{"a":"b"}}`, func(f *form) { f.Names = map[string]string{"a": "b"} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runnerOf(t, func(_ context.Context, f *form) error { test.do(f); return nil }, func(_ context.Context, f *form) error {
				f.Part.N = 7
				return nil
			})
			s, err := r.Run(t.Context(), doA, mustState(t, test.given))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(s.JSON()); got != test.want {
				t.Errorf("it leaves %s, want %s", got, test.want)
			}
			patch := s
			if s, err = r.Run(t.Context(), undoA, s); err != nil {
				t.Fatal(err)
			}
			if changes := patch.Diff(s); string(changes.Set.JSON()) != `{"part":{"n":7}}` || len(changes.Unset) > 0 {
				t.Errorf("the next changes %s and %v", changes.Set.JSON(), changes.Unset)
			}
		})
	}
}

func TestAHandlerThatFailsChangesNothing(t *testing.T) {
	fails := map[string]func() error{
		"returns an error": func() error { return io.EOF },
		"panics":           func() error { panic(io.EOF) },
	}
	for name, fail := range fails {
		t.Run(name, func(t *testing.T) {
			broken := false
			var saw []float64
			r := runnerOf(t, func(_ context.Context, a *account) error {
				saw = append(saw, a.Balance)
				a.Balance++
				a.Limits[0]++
				if broken {
					return fail()
				}
				return nil
			}, nothingOf[account])
			s, err := r.Run(t.Context(), doA, mustState(t, `{}`))
			if err != nil {
				t.Fatal(err)
			}
			before := string(s.JSON())
			broken = true
			left, err := r.Run(t.Context(), doA, s)
			if !errors.Is(err, io.EOF) {
				t.Errorf("error %v, want the handler's", err)
			}
			if !left.IsZero() {
				t.Errorf("with the error comes the state %s", left.JSON())
			}
			broken = false
			after, err := r.Run(t.Context(), doA, s)
			if err != nil {
				t.Fatal(err)
			}
			if string(s.JSON()) != before {
				t.Errorf("the state has become %s, was %s", s.JSON(), before)
			}
			if fmt.Sprint(saw) != "[0 1 1]" {
				t.Errorf("the attempts saw the balances %v, want [0 1 1]", saw)
			}
			if got, _ := after.Field("balance"); string(got) != "2" {
				t.Errorf("the balance is %s in the end, want 2", got)
			}
		})
	}
}

func TestAPanicBecomesAnErrorWithItsStack(t *testing.T) {
	for _, test := range []struct {
		name  string
		value any
		text  string
	}{
		{"text", "boom", "panic: boom"},
		{"an error", io.EOF, "panic: EOF"},
		{"nil", nil, "panic: panic called with nil argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runnerOf(t, func(context.Context, *account) error { panic(test.value) }, nothingOf[account])
			_, err := r.Run(t.Context(), doA, saga.State{})
			var panicked *saga.PanicError
			if !errors.As(err, &panicked) {
				t.Fatalf("error %v, want a PanicError", err)
			}
			if !strings.HasPrefix(panicked.Error(), test.text) {
				t.Errorf("it says %q, want %q", panicked, test.text)
			}
			if !strings.Contains(panicked.Stack, "runner_test.go") {
				t.Errorf("the stack does not lead to the handler:\n%s", panicked.Stack)
			}
			if saga.IsPermanent(err) {
				t.Error("it is permanent, though another attempt may go well")
			}
		})
	}
}

func TestAStateThatDoesNotTravelFailsForGood(t *testing.T) {
	type strict struct {
		N int     `json:"n"`
		F float64 `json:"f"`
	}
	for _, test := range []struct{ name, state, want string }{
		{"it does not decode", `{"n":"seven"}`, "the state does not decode as saga_test.strict"},
		{"it does not encode", `{"n":1}`, `the state that step "a" left cannot be encoded: json: unsupported value: NaN`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runnerOf(t, func(_ context.Context, s *strict) error { s.F = math.NaN(); return nil }, nothingOf[strict])
			_, err := r.Run(t.Context(), doA, mustState(t, test.state))
			if !saga.IsPermanent(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, permanent %v; want a permanent one with %q", err, saga.IsPermanent(err), test.want)
			}
		})
	}
}

// shifty encodes as an object only as long as it is not told otherwise.
type shifty struct{ as string }

func (s shifty) MarshalJSON() ([]byte, error) {
	if s.as == "" {
		return []byte("{}"), nil
	}
	return []byte(s.as), nil
}

func TestAStateThatEncodesItselfIsHeldToTheRules(t *testing.T) {
	for _, test := range []struct{ name, as, want, refused string }{
		{"an object", `{"a":1}`, `{"a":1}`, ""},
		{"names escaped without need", `{"\u0061":1}`, `{"a":1}`, ""},
		{"no object", `[1]`, "", "state is not a JSON object"},
		{"a field twice", `{"a":1,"a":2}`, "", `state names the field "a" twice`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runnerOf(t, func(_ context.Context, s *shifty) error { s.as = test.as; return nil }, nothingOf[shifty])
			s, err := r.Run(t.Context(), doA, saga.State{})
			switch {
			case test.refused != "":
				if !saga.IsPermanent(err) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("error %v, want a permanent one with %q", err, test.refused)
				}
			case err != nil:
				t.Error(err)
			case string(s.JSON()) != test.want:
				t.Errorf("the state is %s, want %s", s.JSON(), test.want)
			}
		})
	}
}

// chain is a state that can be nested as deeply as one likes.
type chain struct {
	Next *chain `json:"next,omitempty"`
}

// A commit puts its state some levels deeper, and encoding/json reads no more than 10,000.
func TestAStateThatIsKeptCanBeReadInACommit(t *testing.T) {
	for _, levels := range []int{1, 8_999, 9_000, 9_001, 9_998, 9_999, 10_000, 20_000} {
		t.Run(fmt.Sprint(levels), func(t *testing.T) {
			r := runnerOf(t, func(_ context.Context, c *chain) error {
				for range levels {
					c.Next = &chain{}
					c = c.Next
				}
				return nil
			}, nothingOf[chain])
			s, err := r.Run(t.Context(), doA, saga.State{})
			if err != nil {
				if levels <= 9_000 || !saga.IsPermanent(err) {
					t.Errorf("error %v, permanent %v", err, saga.IsPermanent(err))
				}
				return
			}
			deepest := &saga.Commit{
				Version: 1, Events: []saga.Event{saga.StepCompleted{Patch: saga.State{}.Diff(s)}}, Snapshot: &saga.Instance{State: s},
			}
			data, err := saga.EncodeCommit(deepest)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := saga.DecodeCommit(data); err != nil {
				t.Error(err)
			}
		})
	}
}

// jumpy panics on the way to or from JSON, as told.
type jumpy struct{ Encoding, Decoding bool }

func (j jumpy) MarshalJSON() ([]byte, error) {
	if j.Encoding {
		panic("encoding")
	}
	return []byte(`{}`), nil
}

func (j *jumpy) UnmarshalJSON(data []byte) error {
	if strings.Contains(string(data), "panic") {
		panic("decoding")
	}
	return nil
}

func TestAPanicOfAStatesOwnEncodingIsAFailedAttempt(t *testing.T) {
	for _, test := range []struct{ name, state string }{{"encoding", `{}`}, {"decoding", `{"panic":true}`}} {
		t.Run(test.name, func(t *testing.T) {
			r := runnerOf(t, func(_ context.Context, j *jumpy) error { j.Encoding = true; return nil }, nothingOf[jumpy])
			_, err := r.Run(t.Context(), doA, mustState(t, test.state))
			var panicked *saga.PanicError
			if !errors.As(err, &panicked) || panicked.Value != test.name {
				t.Errorf("error %v, want a PanicError about %s", err, test.name)
			}
		})
	}
}

// The kinds of state that a runner must decode anew for each step, since the live value may be more than its JSON.
type (
	text      string // with an encoding of its own in one direction
	level     string // the same, as text
	sometimes int    // left out by a rule of its own

	withSlice     struct{ V []int }
	withMap       struct{ V map[string]int }
	withPointer   struct{ V *int }
	withInterface struct{ V any }
	withTime      struct{ V time.Time }
	withHidden    struct {
		V int
		_ int
	}
	withIgnored struct {
		V int `json:"-"`
	}
	withEmbedded  struct{ account }
	withArray     struct{ V [2][]int }
	withStruct    struct{ V withHidden }
	withEncoder   struct{ V text }
	withTexter    struct{ V level }
	withNameTwice struct {
		V int `json:"W"`
		W int
	}
	withZeroRule struct {
		V sometimes `json:"v,omitzero"`
	}
)

func (text) MarshalJSON() ([]byte, error)  { return []byte(`"secret"`), nil }
func (level) MarshalText() ([]byte, error) { return []byte("7"), nil }
func (s sometimes) IsZero() bool           { return s < 10 }

func TestTheLiveValueIsKeptOnlyForTypesThatAreTheSameAfterATripThroughJSON(t *testing.T) {
	checkLive[account](t, true)
	checkLive[struct {
		A bool
		B int64
		C uint64
		D float32
		E string `json:"e,omitempty"`
		F [3]struct{ G int16 }
		H int `json:",string"`
	}](t, true)

	checkLive[withSlice](t, false)
	checkLive[withMap](t, false)
	checkLive[withPointer](t, false)
	checkLive[withInterface](t, false)
	checkLive[withTime](t, false)
	checkLive[withHidden](t, false)
	checkLive[withIgnored](t, false)
	checkLive[withEmbedded](t, false)
	checkLive[withArray](t, false)
	checkLive[withStruct](t, false)
	checkLive[shifty](t, false)
	checkLive[withEncoder](t, false)
	checkLive[withTexter](t, false)
	checkLive[withNameTwice](t, false)
	checkLive[withZeroRule](t, false)
}

// checkLive fails the test unless the second of two steps is given the very value that the first one left, or is not.
func checkLive[S any](t *testing.T, want bool) {
	t.Helper()
	var given []*S
	r := runnerOf(t, func(_ context.Context, s *S) error { given = append(given, s); return nil }, nothingOf[S])
	var s saga.State
	for range 2 {
		var err error
		if s, err = r.Run(t.Context(), doA, s); err != nil {
			t.Fatal(err)
		}
	}
	if kept := given[0] == given[1]; kept != want {
		t.Errorf("the live value of a %T is kept: %v, want %v", *new(S), kept, want)
	}
}

func TestTheLiveValueIsNotKeptWhereTheStateIsAnother(t *testing.T) {
	r := runnerOf(t, func(_ context.Context, a *account) error { a.Balance++; return nil }, nothingOf[account])
	if _, err := r.Run(t.Context(), doA, mustState(t, `{"balance":10}`)); err != nil {
		t.Fatal(err)
	}
	s, err := r.Run(t.Context(), doA, mustState(t, `{"balance":20}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Field("balance"); string(got) != "21" {
		t.Errorf("the balance is %s, want that of the state that was given, and one", got)
	}
}

func TestTextThatIsNotUTF8IsTheSameForTheNextStepHoweverItGetsIt(t *testing.T) {
	var saw []string
	r := runnerOf(t, func(_ context.Context, a *account) error {
		saw = append(saw, a.Name)
		a.Name = "a\xffb"
		return nil
	}, nothingOf[account])
	s, err := r.Run(t.Context(), doA, saga.State{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = r.Run(t.Context(), doA, s); err != nil {
		t.Fatal(err)
	}
	var decoded account
	if err := json.Unmarshal(s.JSON(), &decoded); err != nil {
		t.Fatal(err)
	}
	if saw[1] != decoded.Name || decoded.Name != "a\ufffdb" {
		t.Errorf("the second step saw %q, what was recorded is %q", saw[1], decoded.Name)
	}
}

func nothingOf[S any](context.Context, *S) error { return nil }

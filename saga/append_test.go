package saga

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// byReflection encodes a commit as encoding/json does.
func byReflection(t testing.TB, c *Commit) string {
	t.Helper()
	w := wireCommit{
		envelope: envelope{Format}, Version: c.Version, Time: c.Time, By: c.By, Base: c.Base, Keep: c.Keep, Snapshot: c.Snapshot,
	}
	for _, e := range c.Events {
		w.Events = append(w.Events, message{EventName(e), e})
	}
	data, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func checkAppended(t testing.TB, c *Commit) {
	t.Helper()
	got, err := AppendCommit([]byte("before"), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before" + byReflection(t, c); string(got) != want {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
}

func TestACommitIsWrittenAsReflectionWouldWriteIt(t *testing.T) {
	for name, e := range filledEvents() {
		t.Run(name, func(t *testing.T) {
			checkAppended(t, someCommit(e))
			checkAppended(t, someCommit(reflect.Zero(reflect.TypeOf(e)).Interface().(Event), e))
		})
	}
	t.Run("with a snapshot", func(t *testing.T) {
		c := someCommit(SagaParked{})
		snapshot := filled[Instance](counting())
		c.Snapshot = &snapshot
		checkAppended(t, c)
	})
	t.Run("with nothing set", func(t *testing.T) {
		checkAppended(t, &Commit{Events: []Event{SagaCompleted{}}})
	})
	t.Run("in another time zone", func(t *testing.T) {
		c := someCommit(SagaCompleted{})
		c.Time = c.Time.In(time.FixedZone("", 5*3600+1800))
		checkAppended(t, c)
	})
}

func TestAStateStaysAsItIsInACommit(t *testing.T) {
	state, err := ParseState([]byte(`{"link":"<a&b>"}`))
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodeCommit(someCommit(SagaStarted{State: state}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := DecodeCommit(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Events[0].(SagaStarted).State; !got.equal(state) {
		t.Errorf("%s came back as %s", state.JSON(), got.JSON())
	}
}

func TestACommitWhoseTimeHasNoJSONIsRefused(t *testing.T) {
	c := someCommit(SagaCompleted{})
	c.Time = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if data, err := AppendCommit(nil, c); err == nil {
		t.Errorf("wrote %s", data)
	}
}

func FuzzAppendedTextIsThatOfReflection(f *testing.F) {
	for _, text := range []string{"", "plain", `"\/`, "<a&b>", "\x00\x1f\x7f", "\u2028\u2029", "ö\ufffd", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkAppended(t, someCommit(StepCompleted{Step: text, Patch: Patch{Unset: []string{text, text}}}))
	})
}

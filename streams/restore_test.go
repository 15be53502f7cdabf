package streams_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// elsewhere gives another namespace on the same server.
func elsewhere(t *testing.T, ns *streams.Namespace) *streams.Namespace {
	t.Helper()
	return ensureOn(t, ns.Conn(), streams.Config{Namespace: "elsewhere"})
}

// sameLog checks that a log is stored byte for byte.
func sameLog(t *testing.T, ns *streams.Namespace, was *streams.Holdings) {
	t.Helper()
	h := examine(t, ns, was.Key)
	commits := func(h *streams.Holdings) (all [][]byte) {
		for _, r := range h.Records {
			if r.Commit {
				all = append(all, r.Data)
			}
		}
		return all
	}
	got, want := commits(h), commits(was)
	if len(got) != len(want) || h.Stage != streams.StageWhole {
		t.Fatalf("the log has %d commits at stage %d, want %d", len(got), h.Stage, len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("commit %d is %s, want %s", i+1, got[i], want[i])
		}
	}
	log, err := ns.Log().Load(t.Context(), was.Key, saga.Any)
	if err != nil || len(log.Commits) != len(want) {
		t.Errorf("a worker loads %d commits, %v", len(log.Commits), err)
	}
}

func TestASagaIsRestoredAsItWas(t *testing.T) {
	ns := ensure(t)
	there := elsewhere(t, ns)
	ended(t, ns, "o-1")
	h := examine(t, ns, key("o-1"))
	for _, want := range []bool{true, false} {
		if stored, err := there.Restore(t.Context(), h.Key, h.Records); err != nil || stored != want {
			t.Fatalf("Restore: %v, %v; want %v", stored, err, want)
		}
		sameLog(t, there, h)
	}
	if err := there.Start(t.Context(), h.Key, saga.Start{Run: "r-new"}, 0); !errors.Is(err, streams.ErrExists) {
		t.Errorf("a Start of its id: %v, want ErrExists", err)
	}
	starts, last, err := there.Starts(t.Context(), h.Key)
	if err != nil || len(starts) != 1 || starts[0].Run != "r-o-1" {
		t.Fatalf("its Starts are %v, %v", starts, err)
	}
	if err := there.Start(t.Context(), h.Key, saga.Start{Run: "r-2", Previous: "r-o-1"}, last); err != nil {
		t.Errorf("running it again: %v", err)
	}
	if d := await(t, pull(t, there, 10)); d.Key != h.Key || !bytes.Contains(d.Data, []byte("r-2")) {
		t.Errorf("%s was delivered for %v", d.Data, d.Key)
	}
}

func TestARestorationThatDiesIsGoneOnWith(t *testing.T) {
	ns := ensure(t)
	there := elsewhere(t, ns)
	ended(t, ns, "o-1")
	h := examine(t, ns, key("o-1"))
	header := func(what string, at string) map[string][]string {
		return map[string][]string{streams.HeaderHistoric: {what}, "Nats-Expected-Last-Subject-Sequence": {at}}
	}
	subject := func(last string) string { return "saga.elsewhere" + subjectOf(h.Key, last)[len("saga.default"):] }
	send(t, there, subject("cmd"), header("kept", "0"), h.Records[0].Data)
	if _, err := there.Log().Load(t.Context(), h.Key, saga.Latest); err != nil {
		t.Error(err)
	}
	send(t, there, subject("evt"), header("restoring", "0"), h.Records[1].Data)
	var corrupt *saga.CorruptError
	if _, err := there.Log().Load(t.Context(), h.Key, saga.Latest); !errors.As(err, &corrupt) {
		t.Errorf("loading what is restored in part: %v, want a CorruptError", err)
	}
	if _, err := there.Examine(t.Context(), h.Key); !errors.As(err, &corrupt) {
		t.Errorf("examining what is restored in part: %v, want a CorruptError", err)
	}
	if stored, err := there.Restore(t.Context(), h.Key, h.Records); err != nil || !stored {
		t.Fatalf("Restore: %v, %v", stored, err)
	}
	sameLog(t, there, h)
}

func TestAPurgedSagaIsRestoredInItsPlace(t *testing.T) {
	ns := ensure(t)
	ended(t, ns, "o-1")
	h := examine(t, ns, key("o-1"))
	if err := ns.Purge(t.Context(), examine(t, ns, h.Key), time.Minute); err != nil {
		t.Fatal(err)
	}
	if stored, err := ns.Restore(t.Context(), h.Key, h.Records); err != nil || !stored {
		t.Fatalf("Restore: %v, %v", stored, err)
	}
	sameLog(t, ns, h)
	if _, known, err := ns.Tombstone(t.Context(), h.Key); err != nil || known {
		t.Errorf("a tombstone is left: %v, %v", known, err)
	}
}

func TestASagaThatExistsIsNotRestoredOver(t *testing.T) {
	ns := ensure(t)
	ended(t, ns, "o-1")
	h := examine(t, ns, key("o-1"))
	refused := func(ns *streams.Namespace, want error) {
		t.Helper()
		if _, err := ns.Restore(t.Context(), h.Key, h.Records); !errors.Is(err, want) {
			t.Errorf("Restore: %v, want %v", err, want)
		}
	}
	refused(ns, streams.ErrExists) // itself, which was not restored

	pending := ensureOn(t, ns.Conn(), streams.Config{Namespace: "pending"})
	start(t, pending, "o-1", "r-other")
	refused(pending, streams.ErrExists)

	other := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{})
	start(t, other, "o-1", "r-other")
	if _, err := other.Log().Append(t.Context(), h.Key, 0, started(t)); err != nil {
		t.Fatal(err)
	}
	refused(other, streams.ErrExists)

	buried := elsewhere(t, ns)
	start(t, buried, "o-1", "r-other")
	c := started(t)
	c.Events = append(c.Events, saga.SagaCompleted{})
	if _, err := buried.Log().Append(t.Context(), h.Key, 0, c); err != nil {
		t.Fatal(err)
	}
	if err := buried.Purge(t.Context(), examine(t, buried, h.Key), time.Minute); err != nil {
		t.Fatal(err)
	}
	refused(buried, streams.ErrExists) // the tombstone is of another run

	h.Records = h.Records[:2]
	refused(elsewhere(t, ns), streams.ErrNotEnded)
}

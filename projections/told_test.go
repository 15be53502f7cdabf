package projections

import (
	"log/slog"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// first is a saga's first commit.
func first(run string) decodedCommit {
	return decodedCommit{commit: saga.Commit{Version: 1, Events: []saga.Event{saga.SagaStarted{Run: run, Definition: 1}}}}
}

func TestAViewTellsAnotherSagaFromACopy(t *testing.T) {
	t.Parallel()
	key := saga.Key{Definition: "order", ID: "o-1"}
	one, other := first("one"), first("other")
	digest, others := one.run(), other.run()
	if len(digest) != 8 || digest == others {
		t.Fatalf("the digests are %q and %q", digest, others)
	}
	restored := other
	restored.restored = true
	later := decodedCommit{commit: saga.Commit{Version: 6, Events: []saga.Event{saga.SagaStarted{Run: "again", Definition: 1}}}}
	for _, c := range []struct {
		name, was string
		commit    decodedCommit
		told      bool
		is        string
	}{
		{"the first of all", "0", one, true, "1 " + digest},
		{"a copy", "5 " + digest, one, false, "5 " + digest},
		{"another saga", "5 " + digest, other, true, "1 " + others},
		{"another saga, after a purge", "-5 " + digest, other, true, "1 " + others},
		{"one that comes back", "-5 " + others, restored, false, "-5 " + others},
		{"one that comes back where another was", "5 " + digest, restored, false, "5 " + digest},
		{"what comes next", "5 " + digest, later, true, "6 " + digest},
		{"a copy, known to an earlier build", "5", other, false, "5"},
		{"another saga, after a purge of which an earlier build was told", "-5", other, true, "1 " + others},
		{"what comes next, known to an earlier build", "5", later, true, "6"},
	} {
		told := 0
		w := &viewWriter{log: slog.New(slog.DiscardHandler), view: &View{Apply: func(*Writes, Event) error {
			told++
			return nil
		}}}
		was, err := parseTold(c.was)
		if err != nil {
			t.Fatal(err)
		}
		c.commit.key = key
		versions := map[string]toldOf{member(key): was}
		if _, _, err := w.tell([]decodedCommit{c.commit}, versions); err != nil {
			t.Fatal(err)
		}
		if is := versions[member(key)].String(); (told == 1) != c.told || is != c.is {
			t.Errorf("%s: told %d times, and it is %q; want %v and %q", c.name, told, is, c.told, c.is)
		}
	}
}

package streams_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// setAside sends Starts and sets them aside.
func setAside(t *testing.T, ns *streams.Namespace, ids ...string) []*streams.Delivery {
	t.Helper()
	for _, id := range ids {
		start(t, ns, id, "r-"+id)
	}
	deliveries := pull(t, ns, len(ids))
	byID := map[string]*streams.Delivery{}
	for range ids {
		d := await(t, deliveries)
		byID[d.Key.ID] = d
	}
	set := make([]*streams.Delivery, len(ids))
	for i, id := range ids {
		if err := ns.SetAside(t.Context(), byID[id], errors.New("no "+id)); err != nil {
			t.Fatal(err)
		}
		set[i] = byID[id]
	}
	return set
}

func TestDeadLettersAreListedByPages(t *testing.T) {
	ns := ensure(t)
	ids := []string{"a", "b", "c", "d", "e"}
	set := setAside(t, ns, ids...)
	var got []streams.DeadLetter
	for after := uint64(0); ; after = got[len(got)-1].Number {
		page, err := ns.LettersAfter(t.Context(), streams.LetterFilter{Definition: "place-order"}, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if len(got) != len(ids) {
		t.Fatalf("%d letters, want %d", len(got), len(ids))
	}
	for i, l := range got {
		d := set[i]
		if l.Key != key(ids[i]) || l.Reason != "no "+ids[i] || l.Stream != d.Stream || l.Sequence != d.Sequence ||
			!bytes.Equal(l.Data, d.Data) || l.Time.IsZero() {
			t.Errorf("letter %d is %+v", i, l)
		}
		one, err := ns.Letter(t.Context(), l.Number)
		if err != nil || one.Key != l.Key || !bytes.Equal(one.Data, l.Data) {
			t.Errorf("letter %d by its number is %+v, %v", l.Number, one, err)
		}
	}
	for _, c := range []struct {
		filter streams.LetterFilter
		want   int
	}{
		{streams.LetterFilter{}, 5},
		{streams.LetterFilter{Definition: "place-order", ID: "c"}, 1},
		{streams.LetterFilter{Definition: "other"}, 0},
	} {
		if page, err := ns.LettersAfter(t.Context(), c.filter, 0, 10); err != nil || len(page) != c.want {
			t.Errorf("%+v: %d letters, %v; want %d", c.filter, len(page), err, c.want)
		}
	}
	if _, err := ns.LettersAfter(t.Context(), streams.LetterFilter{ID: "c"}, 0, 10); !errors.Is(err, streams.ErrLetterFilter) {
		t.Errorf("an id without a definition: %v", err)
	}
	if _, err := ns.LettersAfter(t.Context(), streams.LetterFilter{Definition: "*"}, 0, 10); err == nil {
		t.Error("a definition that is no name was taken")
	}
}

func TestACommandThatIsDeliveredAgainMuchLaterIsSetAsideOnce(t *testing.T) {
	ns := ensure(t)
	dead, err := ns.JetStream().Stream(t.Context(), ns.DeadStream())
	if err != nil {
		t.Fatal(err)
	}
	conf := dead.CachedInfo().Config
	conf.Duplicates = 100 * time.Millisecond // in place of minutes
	if _, err := ns.JetStream().UpdateStream(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	start(t, ns, "o-1", "r-1")
	deliveries := pull(t, ns, 10)
	if err := await(t, deliveries).Retry(0); err != nil {
		t.Fatal(err)
	}
	d := await(t, deliveries)
	probe := nats.NewMsg("saga.default.dead.000.place-order.probe")
	probe.Header.Set(jetstream.MsgIDHeader, "probe")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		if err := ns.SetAside(ctx, d, errors.New("no sense")); err != nil {
			t.Fatal(err)
		}
		for sent := 0; sent < 2; { // when the server has forgotten what came after the letter, it has forgotten the letter
			ack, err := ns.JetStream().PublishMsg(ctx, probe)
			if err != nil {
				t.Fatal(err)
			}
			if !ack.Duplicate {
				sent++
			}
		}
	}
	letters, err := ns.LettersAfter(t.Context(), streams.LetterFilter{Definition: "place-order", ID: "o-1"}, 0, 10)
	if err != nil || len(letters) != 1 {
		t.Errorf("%d letters, %v; want one", len(letters), err)
	}
}

func TestALetterIsWholeOfWhateverIsSentAsACommand(t *testing.T) {
	ns := ensureOn(t, testutil.Connect(t, testutil.NATS(t)), streams.Config{Namespace: strings.Repeat("n", 64)})
	limit := int(ns.Conn().MaxPayload())
	key := saga.Key{Definition: "place-order", ID: strings.Repeat("i", 128)}
	begin, err := saga.EncodeCommand(saga.Signal{ID: "s", Name: "said"})
	if err != nil {
		t.Fatal(err)
	}
	largest := limit - 1<<10 // what streams.TooLargeError leaves
	subject := fmt.Sprintf("saga.%s.%s.%s.%s.cmd", ns.Name(), shard.Of(key.Definition, key.ID), key.Definition, key.ID)
	deliveries := pull(t, ns, 2)
	for i, size := range []int{largest, largest + 1} {
		if _, err := ns.JetStream().Publish(t.Context(), subject, append(begin, bytes.Repeat([]byte{' '}, size-len(begin))...)); err != nil {
			t.Fatal(err)
		}
		if err := ns.SetAside(t.Context(), await(t, deliveries), errors.New(strings.Repeat("\U0001F4A9", 1000))); err != nil {
			t.Fatal(err)
		}
		letter, err := ns.Letter(t.Context(), uint64(i)+1)
		if err != nil || len(letter.Data) != largest || letter.Cut() != (size > largest) {
			t.Errorf("of %d bytes the letter has %d (cut: %v), %v", size, len(letter.Data), letter.Cut(), err)
		}
	}
	if _, err := ns.Redrive(t.Context(), 1); err != nil {
		t.Errorf("the whole one: %v", err)
	}
	if _, err := ns.Redrive(t.Context(), 2); !errors.Is(err, streams.ErrLetterCut) {
		t.Errorf("the one that was cut: %v, want ErrLetterCut", err)
	}
}

func TestALetterThatIsNotThereIsToldOf(t *testing.T) {
	ns := ensure(t)
	for _, number := range []uint64{0, 1, 99} {
		for name, f := range map[string]func() (streams.DeadLetter, error){
			"Letter":     func() (streams.DeadLetter, error) { return ns.Letter(t.Context(), number) },
			"Redrive":    func() (streams.DeadLetter, error) { return ns.Redrive(t.Context(), number) },
			"DropLetter": func() (streams.DeadLetter, error) { return ns.DropLetter(t.Context(), number) },
		} {
			if _, err := f(); !errors.Is(err, streams.ErrNoLetter) {
				t.Errorf("%s(%d): %v, want ErrNoLetter", name, number, err)
			}
		}
	}
}

func TestADroppedLetterIsGoneAndTheOthersStay(t *testing.T) {
	ns := ensure(t)
	setAside(t, ns, "a", "b")
	if d, err := ns.DropLetter(t.Context(), 2); err != nil || d.Key != key("b") {
		t.Fatalf("dropped %+v, %v", d, err)
	}
	if last, ok, err := ns.LastDeadLetter(t.Context()); err != nil || !ok || last.Key != key("a") {
		t.Errorf("the last letter is %+v, %v, %v", last, ok, err)
	}
	if _, err := ns.DropLetter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ns.LastDeadLetter(t.Context()); err != nil || ok {
		t.Errorf("a letter is left: %v, %v", ok, err)
	}
}

func TestARedriveThatDiedHalfwayIsMadeOnce(t *testing.T) {
	ns := ensure(t)
	setAside(t, ns, "a")
	letter, err := ns.Letter(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.SendLetter(t.Context(), letter); err != nil { // and here it died
		t.Fatal(err)
	}
	if err := ns.Send(t.Context(), key("a"), saga.Cancel{ID: "c", Run: "r-a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Redrive(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	starts, _, err := ns.Starts(t.Context(), key("a"))
	if err != nil || len(starts) != 2 { // the one that was set aside, and its copy
		t.Errorf("there are %d Starts, %v; want 2", len(starts), err)
	}
	if n, err := ns.DeadLetters(t.Context()); err != nil || n != 0 {
		t.Errorf("%d letters are left, %v", n, err)
	}
	deliveries, redriven := pull(t, ns, 10), 0
	for range 2 { // the copy and the Cancel
		if d := await(t, deliveries); d.Redriven != "" {
			redriven++
		}
	}
	if redriven != 1 {
		t.Errorf("%d commands were delivered as redriven, want 1", redriven)
	}
}

func TestALetterThatIsRedrivenByManyAtOnceIsSentOnce(t *testing.T) {
	ns := ensure(t)
	const letters, callers = 4, 8
	var ids []string
	for i := range letters {
		ids = append(ids, fmt.Sprint("o-", i))
	}
	setAside(t, ns, ids...)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for number := uint64(1); number <= letters; number++ {
				if _, err := ns.Redrive(t.Context(), number); err != nil && !errors.Is(err, streams.ErrNoLetter) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if starts, _, err := ns.Starts(t.Context(), key(id)); err != nil || len(starts) != 2 {
			t.Errorf("%s has %d Starts, %v; want 2", id, len(starts), err)
		}
	}
	if n, err := ns.DeadLetters(t.Context()); err != nil || n != 0 {
		t.Errorf("%d letters are left, %v", n, err)
	}
}

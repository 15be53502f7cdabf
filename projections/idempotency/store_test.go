package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	logging.Disable() // of connections that tests break on purpose
	os.Exit(testutil.Main(testutil.NoLeaks(m.Run), map[string]testutil.Role{"holder": holder}))
}

// place is a Redis of some kind. pass lets time pass for it.
type place struct {
	rdb  redis.UniversalClient
	pass func(time.Duration)
}

// places are the kinds of Redis that the store works on.
var places = map[string]func(t *testing.T) place{
	"redis-server": func(t *testing.T) place { return place{testutil.Redis(t).Client(t), time.Sleep} },
	"cluster":      func(t *testing.T) place { return place{testutil.RedisCluster(t), time.Sleep} },
	"miniredis": func(t *testing.T) place {
		m := testutil.MiniRedis(t)
		now := time.Now()
		m.SetTime(now)
		rdb := redis.NewClient(&redis.Options{Addr: m.Addr()})
		t.Cleanup(func() { _ = rdb.Close() })
		return place{rdb, func(d time.Duration) {
			now = now.Add(d)
			m.SetTime(now)
			m.FastForward(d)
		}}
	},
}

func store(t testing.TB, conf idempotency.Config) *idempotency.Store {
	t.Helper()
	s, err := idempotency.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claimed claims a key that is free.
func claimed(t testing.TB, s *idempotency.Store, key string) *idempotency.Claim {
	t.Helper()
	claim, result, err := s.Begin(t.Context(), key)
	if claim == nil {
		t.Fatalf("the key %q is not free: %v, %v", key, result, err)
	}
	return claim
}

func isLost(err error) bool {
	var lost *idempotency.LostError
	return errors.As(err, &lost)
}

func TestConformance(t *testing.T) {
	for name, start := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			// Leases are long enough for a slow machine where time does pass by itself.
			const lease, keep = 200 * time.Millisecond, 1200 * time.Millisecond
			s := store(t, idempotency.Config{Redis: p.rdb, Lease: lease, Keep: keep})
			for name, test := range conformance {
				t.Run(name, func(t *testing.T) { test(t, s, name, func(d time.Duration) { p.pass(d) }, lease, keep) })
			}
		})
	}
}

var conformance = map[string]func(t *testing.T, s *idempotency.Store, key string, pass func(time.Duration), lease, keep time.Duration){
	"a result is given to whoever comes later": func(t *testing.T, s *idempotency.Store, key string, _ func(time.Duration), _, _ time.Duration) {
		data := []byte("binary \x00\xff {}")
		if err := claimed(t, s, key).Complete(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		claim, result, err := s.Begin(t.Context(), key)
		if claim != nil || err != nil || result == nil || !bytes.Equal(result.Data, data) {
			t.Errorf("got %v, %v, %v; want the result", claim, result, err)
		}
	},
	"one who comes meanwhile is told for how long": func(t *testing.T, s *idempotency.Store, key string, _ func(time.Duration), lease, _ time.Duration) {
		claim := claimed(t, s, key)
		_, _, err := s.Begin(t.Context(), key)
		var held *idempotency.HeldError
		if !errors.As(err, &held) || held.Key != key || held.For <= 0 || held.For > lease {
			t.Errorf("error %v, want a HeldError", err)
		}
		if err := claim.Release(t.Context()); err != nil {
			t.Error(err)
		}
	},
	"a key that was released is free, with a higher token": func(t *testing.T, s *idempotency.Store, key string, _ func(time.Duration), _, _ time.Duration) {
		first := claimed(t, s, key)
		for range 2 { // an answer may be lost
			if err := first.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		second := claimed(t, s, key)
		if second.Token() <= first.Token() {
			t.Errorf("token %d follows %d", second.Token(), first.Token())
		}
		if err := first.Release(t.Context()); !isLost(err) {
			t.Errorf("the first may release again: %v", err)
		}
		if err := second.Complete(t.Context(), nil); err != nil {
			t.Error(err)
		}
	},
	"the claim of one who is gone passes on, and what it completes late is refused": func(t *testing.T, s *idempotency.Store, key string, pass func(time.Duration), lease, _ time.Duration) {
		late := claimed(t, s, key)
		pass(lease + lease/10)
		next := claimed(t, s, key)
		if next.Token() <= late.Token() {
			t.Errorf("token %d follows %d", next.Token(), late.Token())
		}
		if err := late.Complete(t.Context(), []byte("late")); !isLost(err) {
			t.Errorf("the late one completes: %v", err)
		}
		if err := late.Extend(t.Context()); !isLost(err) {
			t.Errorf("the late one extends its lease: %v", err)
		}
		for range 2 { // an answer may be lost
			if err := next.Complete(t.Context(), []byte("next")); err != nil {
				t.Fatal(err)
			}
		}
		if err := late.Release(t.Context()); !isLost(err) {
			t.Errorf("the late one releases: %v", err)
		}
		if _, result, _ := s.Begin(t.Context(), key); result == nil || string(result.Data) != "next" {
			t.Errorf("the result is %v", result)
		}
	},
	"one who is late, and whom nobody has replaced, may still complete": func(t *testing.T, s *idempotency.Store, key string, pass func(time.Duration), lease, _ time.Duration) {
		late := claimed(t, s, key)
		pass(lease + lease/10)
		if err := late.Complete(t.Context(), []byte("late")); err != nil {
			t.Error(err)
		}
	},
	"a lease that is extended does not run out": func(t *testing.T, s *idempotency.Store, key string, pass func(time.Duration), lease, _ time.Duration) {
		claim := claimed(t, s, key)
		for range 4 {
			pass(lease / 2)
			if err := claim.Extend(t.Context()); err != nil {
				t.Fatal(err)
			}
			var held *idempotency.HeldError
			if _, _, err := s.Begin(t.Context(), key); !errors.As(err, &held) {
				t.Fatalf("error %v, want a HeldError", err)
			}
		}
	},
	"a result is forgotten after its time, and tokens go on rising": func(t *testing.T, s *idempotency.Store, key string, pass func(time.Duration), _, keep time.Duration) {
		first := claimed(t, s, key)
		if err := first.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		pass(keep + keep/10)
		if second := claimed(t, s, key); second.Token() <= first.Token() {
			t.Errorf("token %d follows %d", second.Token(), first.Token())
		}
	},
	"keys that are not plain are kept apart": func(t *testing.T, s *idempotency.Store, key string, _ func(time.Duration), _, _ time.Duration) {
		long := string(bytes.Repeat([]byte("k"), 400))
		for _, k := range []string{key + "{a}", key + "{b}", key + "\x00", key + "é", long, long + "2"} {
			if err := claimed(t, s, k).Complete(t.Context(), []byte(k)); err != nil {
				t.Fatal(err)
			}
			if _, result, _ := s.Begin(t.Context(), k); result == nil || string(result.Data) != k {
				t.Errorf("the result of %q is %v", k, result)
			}
		}
	},
}

// deaf loses answers of a Redis: what it was asked is done.
type deaf struct{ loses int }

func (d *deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if strings.HasPrefix(cmd.Name(), "eval") && err == nil && d.loses > 0 {
			d.loses--
			err = errors.New("the connection broke")
			cmd.SetErr(err)
		}
		return err
	}
}

func TestAClaimWhoseAnswerWasLostIsGivenToTheNextCall(t *testing.T) {
	server := testutil.Redis(t)
	broken := server.Client(t)
	s := store(t, idempotency.Config{Redis: broken, Lease: time.Hour})
	claimed(t, s, "warm") // the server knows the script
	broken.AddHook(&deaf{loses: 2})
	for range 2 {
		if claim, result, err := s.Begin(t.Context(), "k"); err == nil {
			t.Fatalf("Begin: %v, %v", claim, result)
		}
	}
	var held *idempotency.HeldError
	if _, _, err := store(t, idempotency.Config{Redis: server.Client(t)}).Begin(t.Context(), "k"); !errors.As(err, &held) {
		t.Errorf("another caller: %v, want a HeldError", err)
	}
	claim := claimed(t, s, "k")
	if _, _, err := s.Begin(t.Context(), "k"); !errors.As(err, &held) {
		t.Errorf("a call after the one that has the claim: %v, want a HeldError", err)
	}
	if err := claim.Complete(t.Context(), []byte("done")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongIsRefusedByName(t *testing.T) {
	var invalid *idempotency.InvalidError
	_, err := idempotency.New(idempotency.Config{Namespace: "a.b", Lease: -1, Keep: time.Microsecond, MaxResult: -1})
	for _, field := range []string{"Redis", "Namespace", "Lease", "Keep", "MaxResult"} {
		if err == nil || !errors.As(err, &invalid) || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
	rdb := places["miniredis"](t).rdb
	for _, namespace := range []string{"a:i", "a}b", "{a", "größe", strings.Repeat("n", 65)} { // the first has the keys of "a"
		_, err := idempotency.New(idempotency.Config{Redis: rdb, Namespace: namespace})
		if !errors.As(err, &invalid) || invalid.Field != "Config.Namespace" || !strings.Contains(invalid.Reason, namespace) {
			t.Errorf("the namespace %q: %v", namespace, err)
		}
	}
	s := store(t, idempotency.Config{Redis: rdb, MaxResult: 3})
	for _, key := range []string{"", string(make([]byte, 513))} {
		if _, _, err := s.Begin(t.Context(), key); !errors.As(err, &invalid) || invalid.Field != "key" {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
	if err := claimed(t, s, "k").Complete(t.Context(), []byte("long")); !errors.As(err, &invalid) || invalid.Field != "result" {
		t.Errorf("a result that is too large: %v", err)
	}
	if _, err := s.Inbox(""); !errors.As(err, &invalid) || invalid.Field != "source" {
		t.Errorf("an inbox without a source: %v", err)
	}
}

func TestAThousandCallersAtOnceHaveTheWorkDoneOnce(t *testing.T) {
	for name, start := range places {
		t.Run(name, func(t *testing.T) {
			s := store(t, idempotency.Config{Redis: start(t).rdb})
			var ran atomic.Int64
			var callers sync.WaitGroup
			for range 1000 {
				callers.Go(func() {
					got, err := s.Do(t.Context(), "key", func(context.Context) ([]byte, error) {
						return fmt.Appendf(nil, "run %d", ran.Add(1)), nil
					})
					if err != nil || string(got) != "run 1" {
						t.Errorf("got %q, %v", got, err)
					}
				})
			}
			callers.Wait()
			if ran.Load() != 1 {
				t.Errorf("the work was done %d times", ran.Load())
			}
		})
	}
}

func TestWorkThatFailsIsDoneByTheNext(t *testing.T) {
	s := store(t, idempotency.Config{Redis: places["miniredis"](t).rdb})
	no := errors.New("no")
	if got, err := s.Do(t.Context(), "k", func(context.Context) ([]byte, error) { return []byte("half"), no }); !errors.Is(err, no) || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, _ = s.Do(t.Context(), "k", func(context.Context) ([]byte, error) { panic("no") })
	}()
	if got, err := s.Do(t.Context(), "k", func(context.Context) ([]byte, error) { return []byte("whole"), nil }); err != nil || string(got) != "whole" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhoWaitsStopsWhenItsContextEnds(t *testing.T) {
	s := store(t, idempotency.Config{Redis: places["miniredis"](t).rdb})
	claimed(t, s, "k")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Do(ctx, "k", func(context.Context) ([]byte, error) { return nil, errors.New("it ran") })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestWorkIsCutOffWhenItsClaimIsLost(t *testing.T) {
	p := places["miniredis"](t)
	s := store(t, idempotency.Config{Redis: p.rdb, Lease: 60 * time.Millisecond})
	_, err := s.Do(t.Context(), "k", func(ctx context.Context) ([]byte, error) {
		if err := p.rdb.FlushAll(ctx).Err(); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	if !isLost(err) {
		t.Errorf("error %v, want a LostError", err)
	}
}

func TestAnInboxTakesAMessageOnce(t *testing.T) {
	s := store(t, idempotency.Config{Redis: places["miniredis"](t).rdb})
	inbox, err := s.Inbox("orders")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Inbox("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	take := func(ctx context.Context) error {
		taken++
		var held *idempotency.HeldError
		if err := inbox.Once(ctx, "1", func(context.Context) error { return nil }); taken == 1 && !errors.As(err, &held) {
			t.Errorf("another delivery meanwhile: %v, want a HeldError", err)
		}
		return nil
	}
	no := errors.New("no")
	if err := inbox.Once(t.Context(), "1", func(context.Context) error { return no }); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
	for range 3 {
		if err := inbox.Once(t.Context(), "1", take); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Once(t.Context(), "1", take); err != nil || taken != 2 {
		t.Errorf("taken %d times, %v; want once by each inbox", taken, err)
	}
}

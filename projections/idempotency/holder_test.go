package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/projections/idempotency"
	"github.com/jetsaga/jetsaga/testutil"
)

const holderLease = 500 * time.Millisecond

// holder is a process that claims a key, works until the claim is lost, and completes it all the same.
func holder(ctx context.Context, args []string) error {
	opts, err := redis.ParseURL(args[0])
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opts)
	defer func() { _ = rdb.Close() }()
	s, err := idempotency.New(idempotency.Config{Redis: rdb, Lease: holderLease})
	if err != nil {
		return err
	}
	claim, _, err := s.Begin(ctx, "k")
	if err != nil {
		return err
	}
	return claim.While(ctx, func(working context.Context) error {
		fmt.Println("ready", claim.Token())
		<-working.Done()
		if err := claim.Complete(ctx, []byte("late")); !isLost(err) {
			fmt.Println("late: completed:", err)
		}
		fmt.Println("late: refused")
		<-ctx.Done()
		return ctx.Err()
	})
}

// held starts a holder, and gives its token once its lease has been extended for a while.
func held(t *testing.T, server *testutil.RedisServer, s *idempotency.Store) (p *testutil.Process, token uint64) {
	t.Helper()
	p = testutil.StartProcess(t, "holder", server.URL())
	token, err := strconv.ParseUint(p.WaitLine("ready"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var held *idempotency.HeldError
	for range 3 { // for as long as it lives, its lease is extended
		time.Sleep(holderLease / 2)
		if _, _, err := s.Begin(t.Context(), "k"); !errors.As(err, &held) {
			t.Fatalf("error %v, want a HeldError", err)
		}
	}
	return p, token
}

// succeed has many at once ask for the key. One of them gets it, with a higher token, and does something before it completes;
// the others get its result.
func succeed(t *testing.T, s *idempotency.Store, token uint64, do func()) {
	t.Helper()
	const callers = 16
	begun := time.Now()
	var claims atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			claim, result, err := s.Await(t.Context(), "k")
			switch {
			case err != nil:
				t.Error(err)
			case result != nil:
				if string(result.Data) != "by the next" {
					t.Errorf("the result is %q", result.Data)
				}
			default:
				claims.Add(1)
				if claim.Token() <= token {
					t.Errorf("token %d follows %d", claim.Token(), token)
				}
				t.Logf("the next took over after %v; the lease is %v", time.Since(begun).Round(time.Millisecond), holderLease)
				err := claim.While(t.Context(), func(context.Context) error { do(); return nil })
				if err := errors.Join(err, claim.Complete(t.Context(), []byte("by the next"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := claims.Load(); n != 1 {
		t.Errorf("%d of %d got the claim, want one", n, callers)
	}
}

func TestTheClaimOfAProcessThatIsKilledPassesOn(t *testing.T) {
	server := testutil.Redis(t)
	s := store(t, idempotency.Config{Redis: server.Client(t), Lease: holderLease})
	p, token := held(t, server, s)
	p.Kill()
	succeed(t, s, token, func() {})
}

// A process that stands still for longer than its lease does not know that it is late.
func TestWhatAProcessCompletesLateIsRefused(t *testing.T) {
	for _, when := range []string{"while the next is at it", "after the next"} {
		t.Run(when, func(t *testing.T) {
			server := testutil.Redis(t)
			s := store(t, idempotency.Config{Redis: server.Client(t), Lease: holderLease})
			p, token := held(t, server, s)
			p.Signal(syscall.SIGSTOP)
			wakes := func() {
				p.Signal(syscall.SIGCONT)
				if got := p.WaitLine("late:"); got != "refused" {
					t.Errorf("what comes late is %s", got)
				}
			}
			if when == "after the next" {
				succeed(t, s, token, func() {})
				wakes()
			} else {
				succeed(t, s, token, wakes)
			}
			if _, result, err := s.Begin(t.Context(), "k"); result == nil || string(result.Data) != "by the next" {
				t.Errorf("the result is %v, %v", result, err)
			}
		})
	}
}

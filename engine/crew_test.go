package engine

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newTestCrew gives a crew of which so many work at a time, and what ends it and waits until nobody is left.
func newTestCrew(t *testing.T, wants int) *crew {
	t.Helper()
	var hands sync.WaitGroup
	c := newCrew(hands.Go)
	c.wants, c.most = wants, 2*wants
	t.Cleanup(func() {
		c.close()
		hands.Wait()
	})
	return c
}

func TestTurnsAreTakenInTheirOrder(t *testing.T) {
	c := newTestCrew(t, 1)
	var order []int
	var taken sync.WaitGroup
	for i := range 1000 {
		taken.Add(1)
		c.push(&turn{goOn: func() {
			order = append(order, i)
			taken.Done()
		}})
	}
	taken.Wait()
	for i, n := range order {
		if i != n {
			t.Fatalf("turn %d was taken as number %d", n, i)
		}
	}
}

func TestNoMoreAreAtWorkThanThereAreToBe(t *testing.T) {
	const wants = 3
	c := newTestCrew(t, wants)
	var working, most atomic.Int32
	var taken sync.WaitGroup
	for range 5000 {
		taken.Add(1)
		c.push(&turn{goOn: func() {
			defer taken.Done()
			if n := working.Add(1); n > wants {
				most.Store(n)
			}
			working.Add(-1)
		}})
	}
	taken.Wait()
	if n := most.Load(); n > 0 {
		t.Errorf("%d were at work, want %d at most", n, wants)
	}
}

func TestOneWhoLeavesHasAnotherTakeTheirPlace(t *testing.T) {
	c := newTestCrew(t, 2)
	const turns = 100
	var left, taken sync.WaitGroup
	comeBack := make(chan struct{})
	for range turns {
		left.Add(1)
		taken.Add(1)
		c.push(&turn{goOn: func() {
			defer taken.Done()
			c.leave()
			left.Done()
			<-comeBack
			c.comeBack()
		}})
	}
	left.Wait() // all have left at the same time
	close(comeBack)
	taken.Wait()
	// Nobody is at work, so that another turn is taken.
	taken.Add(1)
	c.push(&turn{goOn: taken.Done})
	taken.Wait()
}

func TestATurnMayComeAgainFromWithinItself(t *testing.T) {
	c := newTestCrew(t, 2)
	done := make(chan struct{})
	count := 0
	var again turn
	again.goOn = func() {
		if count++; count == 1000 {
			close(done)
			return
		}
		c.push(&again)
	}
	c.push(&again)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it has not come again")
	}
}

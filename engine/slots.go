package engine

import (
	"sync"
	"time"

	"github.com/jetsaga/jetsaga/streams"
)

// How long slots are lent to a stream. More than one go out for a short time only, so that slots which a quiet
// stream does not need are soon free for a busy one; one stays out to hear of the next command at once, unless it is the last
// that there is: others wait for it.
const (
	lendMany = time.Second
	lendOne  = 30 * time.Second
	lendLast = 250 * time.Millisecond
)

// A worker whose slots are all in use gets them back one by one. It waits until there are enough for a loan to be worth
// its message, a share of all slots, or until some time has passed.
const (
	lendShare = 32
	lendPause = 5 * time.Millisecond
)

// slots shares a worker's slots out among its pullers: each slot is free, lent to a puller, or taken by an
// activation. A puller's share doubles whenever all that it was lent was filled, and shrinks to what was needed
// when it was not, so the slots go where the commands are.
type slots struct {
	mu      sync.Mutex
	free    int
	total   int
	shares  []*share
	turn    int // whose turn it is to be served first
	closed  bool
	resume  time.Time // nothing is lent before
	lentAt  time.Time // when slots were last lent
	request func(*streams.Puller, int, time.Duration)
}

// share is what one puller has of the slots.
type share struct {
	puller *streams.Puller
	want   int // how many to lend next time
	lent   int // how many are out now
	filled int // how many of the last loan have been filled
}

func newSlots(total int, request func(*streams.Puller, int, time.Duration)) *slots {
	return &slots{free: total, total: total, request: request}
}

// add makes a puller one of those that share.
func (s *slots) add(p *streams.Puller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares = append(s.shares, &share{puller: p, want: 1})
}

// filled: a lent slot was filled by a command; it is taken until release.
func (s *slots) filled(p *streams.Puller) {
	s.mu.Lock()
	if h := s.of(p); h != nil {
		h.lent--
		h.filled++
		if h.lent == 0 {
			h.want = min(2*max(h.want, h.filled), s.total)
		}
	}
	s.mu.Unlock()
	s.lend()
}

// returned: lent slots came back unfilled.
func (s *slots) returned(p *streams.Puller, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	if h := s.of(p); h != nil {
		h.lent -= n
		h.want = max(1, h.filled)
	}
}

// release: an activation is over.
func (s *slots) release() {
	s.mu.Lock()
	s.free++
	s.mu.Unlock()
	s.lend()
}

// lend gives free slots to the pullers that have none out, in turn.
func (s *slots) lend() {
	type loan struct {
		puller *streams.Puller
		n      int
	}
	var room [4]loan
	loans := room[:0]
	s.mu.Lock()
	now := time.Now()
	few := s.free < s.total/lendShare && now.Sub(s.lentAt) < lendPause
	for i := 0; i < len(s.shares) && s.free > 0 && !few && !s.closed && !now.Before(s.resume); i++ {
		h := s.shares[(s.turn+i)%len(s.shares)]
		if h.lent > 0 {
			continue
		}
		n := min(h.want, s.free)
		s.free -= n
		h.lent, h.filled = n, 0
		loans = append(loans, loan{h.puller, n})
	}
	if len(loans) > 0 {
		s.lentAt = now
		s.turn = (s.turn + 1) % len(s.shares)
	}
	one := lendOne
	if s.free == 0 {
		one = lendLast
	}
	s.mu.Unlock()
	for _, l := range loans {
		expires := lendMany
		if l.n == 1 {
			expires = one
		}
		s.request(l.puller, l.n, expires)
	}
}

// holdBack lends nothing until a moment; lend has to be called after it.
func (s *slots) holdBack(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume = until
}

// counts gives how many slots are free, lent and taken.
func (s *slots) counts() (free, lent, taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.shares {
		lent += h.lent
	}
	return s.free, lent, s.total - s.free - lent
}

// close stops lending.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *slots) of(p *streams.Puller) *share {
	for _, h := range s.shares {
		if h.puller == p {
			return h
		}
	}
	return nil
}

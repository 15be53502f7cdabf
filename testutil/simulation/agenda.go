package simulation

import (
	"time"
)

// agenda is what is going to happen, in the order of virtual time; what falls on one moment happens in the order
// in which it was entered.
type agenda struct {
	heap    []entry
	entered uint64
}

type entry struct {
	at    time.Duration
	order uint64
	do    func()
}

func (e entry) before(other entry) bool {
	return e.at < other.at || e.at == other.at && e.order < other.order
}

func (a *agenda) enter(at time.Duration, do func()) {
	a.entered++
	a.heap = append(a.heap, entry{at, a.entered, do})
	for i := len(a.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.heap[i].before(a.heap[parent]) {
			return
		}
		a.heap[i], a.heap[parent] = a.heap[parent], a.heap[i]
		i = parent
	}
}

// next takes the first entry; ok is false where there is none.
func (a *agenda) next() (first entry, ok bool) {
	if len(a.heap) == 0 {
		return entry{}, false
	}
	first = a.heap[0]
	last := len(a.heap) - 1
	a.heap[0], a.heap[last] = a.heap[last], entry{}
	a.heap = a.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if a.heap[child].before(a.heap[least]) {
				least = child
			}
		}
		if least == i {
			return first, true
		}
		a.heap[i], a.heap[least] = a.heap[least], a.heap[i]
		i = least
	}
}

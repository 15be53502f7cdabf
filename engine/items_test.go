package engine_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
)

// parcel is one of a shipment's items.
type parcel struct {
	Number int  `json:"number"`
	Packed bool `json:"packed,omitempty"`
}

// shipment is a state of many items.
type shipment struct {
	Parcels int   `json:"parcels"`
	Packed  []int `json:"packed,omitempty"` // their numbers, as collected
}

// heap gives how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What is bounded here grows with the number of items and no faster, so the small run has the same bounds for each item.
func TestAForEachOfTenThousandItemsEndsAndIsUndoneAsAWhole(t *testing.T) {
	items := 300
	if long {
		items = 10_000
	}
	f := newFleet(t)
	var packed, unpacked atomic.Int64
	var full uint64 // the heap with all items in it
	nodes := []saga.Node[shipment]{
		saga.ForEach("parcels",
			func(s *shipment) []parcel {
				parcels := make([]parcel, s.Parcels)
				for i := range parcels {
					parcels[i].Number = i
				}
				return parcels
			},
			saga.Step("pack", func(_ context.Context, p *parcel) error {
				p.Packed = true
				packed.Add(1)
				return nil
			}).Compensate(func(_ context.Context, p *parcel) error {
				p.Packed = false
				unpacked.Add(1)
				return nil
			}),
		).Limit(50).Collect(func(s *shipment, parcels []saga.Item[parcel]) {
			for _, p := range parcels {
				if p.Value.Packed {
					s.Packed = append(s.Packed, p.Value.Number)
				}
			}
			full = heap()
		}),
	}
	sails := saga.Must(saga.Define("sails", 1, nodes...))
	sinks := saga.Must(saga.Define("sinks", 1, append(nodes, saga.Step("sail", func(context.Context, *shipment) error {
		return saga.Permanent(errors.New("no wind"))
	}))...))
	f.engine(engine.Config{}, sails, sinks)
	client := f.client()
	for _, test := range []struct {
		def    *saga.Definition[shipment]
		status saga.Status
		undone int64
	}{{sails, saga.StatusCompleted, 0}, {sinks, saga.StatusCompensated, int64(items)}} {
		t.Run(string(test.status), func(t *testing.T) {
			packed.Store(0)
			unpacked.Store(0)
			before, begun := heap(), time.Now()
			sagas := engine.For(client, test.def)
			s, err := sagas.Run(withPatience(t), "s-1", shipment{Parcels: items})
			var ended *engine.EndedError
			if test.status != saga.StatusCompleted && (!errors.As(err, &ended) || ended.Status != test.status) ||
				test.status == saga.StatusCompleted && err != nil {
				t.Fatalf("error is %v", err)
			}
			took := time.Since(begun)
			if len(s.State.Packed) != items || packed.Load() != int64(items) || unpacked.Load() != test.undone {
				t.Errorf("%d items were packed, %d collected, %d unpacked", packed.Load(), len(s.State.Packed), unpacked.Load())
			}
			for i, n := range s.State.Packed {
				if n != i {
					t.Fatalf("item %d was collected at place %d", n, i)
				}
			}
			begun = time.Now()
			if _, err := sagas.Get(t.Context(), "s-1"); err != nil {
				t.Fatal(err)
			}
			loaded := time.Since(begun)
			history, err := client.History(t.Context(), saga.Key{Definition: test.def.Plan().Name, ID: "s-1"})
			if err != nil {
				t.Fatal(err)
			}
			stored := 0
			for i := range history {
				data, err := saga.EncodeCommit(&history[i])
				if err != nil {
					t.Fatal(err)
				}
				stored += len(data)
			}
			grown := int(full) - int(before)
			t.Logf("%d items: %v, %d commits of %d bytes, the heap grew by %d bytes, a load takes %v",
				items, took, len(history), stored, grown, loaded)
			events := items + int(test.undone)
			if len(history) > 2*events || stored > 600*events+64<<10 || grown > 3_000*items+8<<20 || loaded > patience/10 {
				t.Error("that is too much")
			}
		})
	}
}

package projections_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/testutil"
)

// A power cut takes what one replica has not synced. Redis has read it.
func TestWhatAStreamIsGivenAfterItHasLostItsEndIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, synced := filepath.Join(dir, "store"), filepath.Join(dir, "synced")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server := testutil.StartServerProcess(t, store)
	s := siteOn(t, server.ClientURL())
	s.worker()
	s.projector()
	s.view(perCustomer(1))
	told := func(steps, shipped int) {
		t.Helper()
		want := fmt.Sprint(map[string]int{"reserve": steps, "charge": steps, "ship": shipped})
		eventually(t, "the view is told of "+want, func() bool {
			steps, err := s.readView("steps")
			return err == nil && fmt.Sprint(steps) == want
		})
	}
	s.start(0, 20)
	s.ended(20)
	told(20, 18)
	server.Kill()
	must(os.CopyFS(synced, os.DirFS(store)))
	server.Restart()
	s.start(20, 60)
	s.ended(60)
	s.caughtUp()
	told(60, 54)
	before := s.marker(modelsMarker)["current"]

	server.Kill()
	must(os.RemoveAll(store))
	must(os.Rename(synced, store))
	server.Restart()
	eventually(t, "the read models are built anew", func() bool {
		m := s.marker(modelsMarker)
		return m["current"] != "" && m["current"] != before && m["next"] == ""
	})
	s.clean(20)
	source := s.client.Source()
	eventually(t, "the view is where the streams end", func() bool {
		for _, stream := range source.Streams() {
			at := uint64(0)
			err := projections.ReadView(t.Context(), s.rdb, "default", "per_customer", func(key func(string) string) (err error) {
				at, err = s.rdb.HGet(t.Context(), key(".at"), stream).Uint64()
				return err
			})
			must(err)
			last, err := source.Last(t.Context(), stream)
			must(err)
			if at > last {
				return false
			}
		}
		return true
	})
	s.start(60, 70)
	s.ended(30)
	s.caughtUp()
	s.clean(30)
	told(70, 63)
}

package shop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func openShop(t testing.TB, config Config) *Shop {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestOpenReportsEveryFaultOfTheConfig(t *testing.T) {
	_, err := Open(Config{Latency: -1, FlakyPercent: 101, Stock: map[string]int64{"tent": -1}})
	if !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	for _, field := range []string{"Dir", "Latency", "FlakyPercent", `Stock of "tent"`} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}

func TestOpenClosesWhatItOpenedWhenALaterLedgerIsCorrupt(t *testing.T) {
	for _, name := range []string{"inventory", "payments", "carrier"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := OpenLedger[note](dir, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			once(t, l, "a", "one")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			var corrupt *CorruptError
			if _, err := Open(Config{Dir: dir}); !errors.As(err, &corrupt) || corrupt.Line != 1 {
				t.Fatal(err)
			}
		})
	}
}

func TestServicesWaitForTheirLatencyAndNoLongerThanTheContext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Config{Dir: dir, Latency: time.Minute, FlakyPercent: -1})
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		calls := map[string]func(context.Context) error{
			"reserve": func(ctx context.Context) error { _, err := s.Inventory.Reserve(ctx, "k", "o", "tent", 1); return err },
			"release": func(ctx context.Context) error { return s.Inventory.Release(ctx, "k", "R1") },
			"charge":  func(ctx context.Context) error { _, err := s.Payments.Charge(ctx, "k", "o", "tok_4242", 1); return err },
			"refund":  func(ctx context.Context) error { return s.Payments.Refund(ctx, "k", "C1") },
			"ship":    func(ctx context.Context) error { _, err := s.Carrier.Ship(ctx, "k", "o", "here"); return err },
			"cancel":  func(ctx context.Context) error { return s.Carrier.Cancel(ctx, "k", "T1") },
		}
		for name, call := range calls {
			if err := call(ended); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		before := time.Now()
		if _, err := s.Carrier.Ship(t.Context(), "k", "o", "here"); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took != time.Minute {
			t.Errorf("took %v", took)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestShopSyncsAndCloses(t *testing.T) {
	s := openShop(t, Config{})
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := s.Inventory.OnHand(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := s.Payments.Balance(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/testutil"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(testutil.NoLeaks(m.Run)())
}

func TestTheOrdersAreRunWhereverNATSIs(t *testing.T) {
	for name, url := range map[string]string{"in the process": "", "elsewhere": testutil.NATS(t).ClientURL()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for range 2 { // a second run finds what the first has kept
				var out bytes.Buffer
				if err := run(t.Context(), url, dir, &out); err != nil {
					t.Fatal(err)
				}
				for want, n := range map[string]int{"\n": 20, "completed: T": 16, "compensated: ": 4, "card declined": 3, "cannot be delivered to": 1} {
					if got := strings.Count(out.String(), want); got != n {
						t.Errorf("%q is there %d times, want %d:\n%s", want, got, n, &out)
					}
				}
			}
		})
	}
}

func TestAnInterruptIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, testutil.NATS(t).ClientURL(), t.TempDir(), &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestAServerThatIsNotThereIsAnError(t *testing.T) {
	if err := run(t.Context(), "nats://127.0.0.1:1", t.TempDir(), &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
}

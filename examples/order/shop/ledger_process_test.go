//go:build unix

package shop

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// writerDir, when set in the environment, makes the test binary a process that
// writes notes into that directory until it is killed.
const writerDir = "SHOP_TEST_LEDGER_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver says each key on stdout after it was acknowledged.
func writeForEver(dir string) error {
	l, err := OpenLedger[note](dir, "notes", nil)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		key := fmt.Sprintf("%d-%d", os.Getpid(), n)
		if _, _, err := l.Once(key, note{strings.Repeat("x", 1+n%500)}); err != nil {
			return err
		}
		fmt.Println(key)
	}
}

func TestLedgerKeepsWhatKilledProcessesWereTold(t *testing.T) {
	dir := t.TempDir()
	acknowledged := make(map[string]bool)
	for range 5 {
		// Two at once: one is killed while the other may wait for its lock.
		a, b := startWriter(t, dir), startWriter(t, dir)
		a.killAfter(t, 50+rand.IntN(500), acknowledged)
		b.killAfter(t, 50+rand.IntN(500), acknowledged)
	}
	l := openNotes(t, dir)
	for key := range acknowledged {
		if _, ok := l.Lookup(key); !ok {
			t.Errorf("%s was acknowledged and is lost", key)
		}
	}
	if len(acknowledged) < 500 {
		t.Errorf("only %d keys were written", len(acknowledged))
	}
}

type writer struct {
	command *exec.Cmd
	keys    *bufio.Scanner
}

func startWriter(t *testing.T, dir string) *writer {
	t.Helper()
	command := exec.Command(os.Args[0]) //nolint:noctx // it is to be killed by the test, in the midst of writing
	command.Env = append(os.Environ(), writerDir+"="+dir)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return &writer{command: command, keys: bufio.NewScanner(out)}
}

// killAfter reads n keys, kills the process, and reads what it still said.
func (w *writer) killAfter(t *testing.T, n int, into map[string]bool) {
	t.Helper()
	for i := 0; w.keys.Scan(); i++ {
		if i == n {
			if err := w.command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		into[w.keys.Text()] = true
	}
	if err := w.command.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
}
